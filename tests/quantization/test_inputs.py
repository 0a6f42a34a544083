from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rdsearch.quantization.forms import Matrix
from rdsearch.quantization.inputs import POSITIONS, Rows, parts
from rdsearch.quantization.moments import Moments
from rdsearch.quantization.operations import Product
from rdsearch.quantization.watch import run_watched

LAYERS = [
    (nn.Linear(6, 4), (5, 6)),
    (nn.Linear(6, 4), (5, 3, 6)),
    (nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (3, 4, 9)),
    (nn.Conv2d(3, 5, 3, padding=1), (4, 3, 7, 6)),
    (nn.Conv2d(4, 8, (3, 2), stride=(1, 2), padding=(2, 0), dilation=(2, 1), groups=4), (4, 4, 8, 7)),
    (nn.Conv2d(2, 3, 3, padding="same", padding_mode="reflect"), (2, 2, 6, 6)),
    (nn.Conv2d(2, 3, (3, 5), dilation=2, padding="same"), (2, 2, 9, 9)),
    (nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 2, 6, 6)),
    (nn.Conv2d(6, 6, 1, groups=6, bias=False), (3, 6, 4, 4)),
    (nn.Conv3d(2, 3, 2, stride=2), (2, 2, 4, 6, 4)),
    (nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), (3, 4, 9)),
    (nn.ConvTranspose2d(3, 5, (3, 2), stride=(2, 1), padding=(2, 0), dilation=(1, 2)), (2, 3, 5, 4)),
    (nn.ConvTranspose3d(2, 3, 2, stride=2), (2, 2, 3, 2, 3)),
]
both = pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=[str(layer) for layer, _ in LAYERS])


def inputs_of(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def product_of(layer: nn.Module, inputs: Tensor) -> Product:
    found: list[Product] = []
    run_watched(layer, ["weight"], inputs, lambda name, product: found.append(product))
    return found[0]


def answers(layer: Any, form: Any, x: Tensor) -> Tensor:
    """The layer as a product of matrices: (groups, positions, rows)."""
    answered = x @ form.matrices(layer.weight).mT
    return answered if layer.bias is None else answered + layer.bias.reshape(x.shape[0], 1, -1)


def positions(layer: nn.Module, outputs: Tensor, groups: int, every: int = 1, first: int = 0) -> Tensor:
    """A layer's outputs as (groups, positions, rows), thinned out along each spatial axis."""
    if isinstance(layer, nn.Linear):
        rows = outputs.reshape(1, -1, outputs.shape[-1])
        return rows[:, first % min(every, rows.shape[1]) :: every]
    for axis in range(2, outputs.dim()):
        start = first % min(every, outputs.shape[axis])
        outputs = outputs[(slice(None),) * axis + (slice(start, None, every),)]
    split = outputs.reshape(len(outputs), groups, -1, outputs[0, 0].numel())
    return split.permute(1, 0, 3, 2).reshape(groups, -1, split.shape[2])


@both
def test_matrices_times_columns_are_the_layers_outputs(layer: Any, shape: tuple[int, ...]) -> None:
    inputs = inputs_of(shape)
    with torch.no_grad():
        product = product_of(layer, inputs)
        found = answers(layer, product.form, product.given.columns(slice(None)))
        torch.testing.assert_close(found, positions(layer, layer(inputs), product.form.groups))
        matrices = product.form.matrices(layer.weight)
        assert torch.equal(product.form.weight(matrices, tuple(layer.weight.shape)), layer.weight)


@both
@pytest.mark.parametrize(("every", "first"), [(2, 0), (2, 1), (3, 7), (100, 41)])
def test_thinned_columns_are_those_of_the_thinned_outputs(
    layer: Any, shape: tuple[int, ...], every: int, first: int
) -> None:
    inputs = inputs_of(shape)
    with torch.no_grad():
        product = product_of(layer, inputs)
        found = answers(layer, product.form, product.given.columns(slice(None), every, first))
        torch.testing.assert_close(found, positions(layer, layer(inputs), product.form.groups, every, first))
    assert found.shape[1] > 0


@both
def test_moments_are_means_of_products(layer: Any, shape: tuple[int, ...]) -> None:
    inputs = inputs_of(shape)
    with torch.no_grad():
        product = product_of(layer, inputs)
        moments = Moments(product.form, layer.weight)
        for part, _ in parts(len(product.given)):
            columns = product.given.columns(part)
            moments.add(columns, answers(layer, product.form, columns))
        x = product.given.columns(slice(None)).double()
        y = positions(layer, layer(inputs), product.form.groups).double()
    count = x.shape[1]
    torch.testing.assert_close(moments.second(False), x.transpose(1, 2) @ x / count, rtol=1e-5, atol=1e-6)
    for group, (inside, outside) in enumerate(zip(x, y, strict=True)):
        joint = torch.cat([outside, inside], 1).T.cov(correction=0)
        rows = outside.shape[1]
        second, cross = moments.second(True)[group], moments.cross(True)
        assert cross is not None
        torch.testing.assert_close(second, joint[rows:, rows:], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(cross[group], joint[:rows, rows:], rtol=1e-5, atol=1e-5)


def test_many_positions_are_thinned_out_evenly_over_all_of_them() -> None:
    layer = nn.Conv2d(1, 1, 1)
    images = torch.arange(64 * 64.0).reshape(1, 1, 64, 64).expand(256, 1, 64, 64)
    given = product_of(layer, images).given
    every = given.thinning()
    sample = torch.cat([given.columns(part, every, first) for part, first in parts(len(given))], 1)
    assert every == 5
    assert sample.shape[1] == pytest.approx(256 * 64 * 64 / every**2, rel=0.05)
    assert len(sample.unique()) >= 64 * 64 / every
    assert float(sample.mean()) == pytest.approx(float(images[0].mean()), rel=0.02)
    assert Rows(torch.zeros(1, 3 * POSITIONS, 2)).thinning() == 3


def test_moments_that_would_fill_a_gpu_are_kept_by_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Linear(64, 8, device="meta")  # not the host, and computes nothing
    for memory, place in ((64 * 64**2 * 8, "meta"), (64 * 64**2 * 8 - 64, "cpu")):
        monkeypatch.setattr("rdsearch.quantization.moments.memory_of", lambda device, memory=memory: memory)
        assert Moments(Matrix(), layer.weight).second(False).device.type == place


def test_a_transposed_convolution_is_thinned_out_in_no_step_with_its_stride() -> None:
    layer = nn.ConvTranspose2d(1, 1, 3, stride=2)
    with torch.no_grad():
        assert product_of(layer, torch.zeros(256, 1, 12, 12)).given.thinning() == 3


@pytest.mark.parametrize(("layer", "shape"), LAYERS[2:], ids=[str(layer) for layer, _ in LAYERS[2:]])
@pytest.mark.parametrize(("every", "first"), [(1, 0), (2, 1), (3, 7)])
def test_examples_have_the_same_columns_together_as_alone(
    layer: Any, shape: tuple[int, ...], every: int, first: int
) -> None:
    with torch.no_grad():
        given = product_of(layer, inputs_of((7, *shape[1:]))).given
    alone = [given.columns(slice(place, place + 1), every, first) for place in range(7)]
    assert torch.equal(given.columns(slice(None), every, first), torch.cat(alone, dim=1))
