from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rdsearch.quantization.inputs import patches, positions
from rdsearch.quantization.moments import Moments, parts, sample_outputs, thinning

LAYERS = [
    (nn.Linear(6, 4), (5, 6)),
    (nn.Linear(6, 4), (5, 3, 6)),
    (nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (3, 4, 9)),
    (nn.Conv2d(3, 5, 3, padding=1), (4, 3, 7, 6)),
    (nn.Conv2d(4, 8, (3, 2), stride=(1, 2), padding=(2, 0), dilation=(2, 1), groups=4), (4, 4, 8, 7)),
    (nn.Conv2d(2, 3, 3, padding="same", padding_mode="reflect"), (2, 2, 6, 6)),
    (nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 2, 6, 6)),
    (nn.Conv2d(6, 6, 1, groups=6, bias=False), (3, 6, 4, 4)),
    (nn.Conv3d(2, 3, 2, stride=2), (2, 2, 4, 6, 4)),
]
both = pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=[str(layer) for layer, _ in LAYERS])


def inputs_of(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def answers(layer: Any, x: Tensor) -> Tensor:
    """The layer as a product of matrices: (groups, positions, rows)."""
    weights = layer.weight.flatten(1).reshape(x.shape[0], -1, x.shape[2])
    answered = x @ weights.transpose(1, 2)
    return answered if layer.bias is None else answered + layer.bias.reshape(x.shape[0], 1, -1)


@both
def test_weights_times_patches_are_the_layers_outputs(layer: Any, shape: tuple[int, ...]) -> None:
    inputs = inputs_of(shape)
    with torch.no_grad():
        torch.testing.assert_close(answers(layer, patches(layer, inputs)), positions(layer, layer(inputs)))


@both
@pytest.mark.parametrize(("every", "first"), [(2, 0), (2, 1), (3, 7), (100, 41)])
def test_thinned_patches_are_those_of_the_thinned_outputs(
    layer: Any, shape: tuple[int, ...], every: int, first: int
) -> None:
    inputs = inputs_of(shape)
    with torch.no_grad():
        found = answers(layer, patches(layer, inputs, every, first))
        torch.testing.assert_close(found, positions(layer, layer(inputs), every, first))
    assert found.shape[1] > 0


@both
def test_moments_are_means_of_products(layer: Any, shape: tuple[int, ...]) -> None:
    inputs = inputs_of(shape)
    with torch.no_grad():
        outputs = layer(inputs)
        moments = Moments(layer)
        for (part, first), wanted in zip(parts(len(inputs)), sample_outputs(layer, outputs), strict=True):
            moments.add(inputs[part], thinning(layer, outputs), first, wanted)
        x, y = patches(layer, inputs).double(), positions(layer, outputs).double()
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
    outputs = torch.arange(64 * 64.0).reshape(1, 1, 64, 64).expand(256, 1, 64, 64)
    every = thinning(layer, outputs)
    sample = torch.cat(sample_outputs(layer, outputs), 1)
    assert every == 5
    assert sample.shape[1] == pytest.approx(256 * 64 * 64 / every**2, rel=0.05)
    assert len(sample.unique()) >= 64 * 64 / every
    assert float(sample.mean()) == pytest.approx(float(outputs[0].mean()), rel=0.02)


def test_moments_that_would_fill_a_gpu_are_kept_by_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Linear(64, 8, device="meta")  # not the host, and computes nothing
    for memory, place in ((64 * 64**2 * 8, "meta"), (64 * 64**2 * 8 - 64, "cpu")):
        monkeypatch.setattr("rdsearch.quantization.moments.memory_of", lambda device, memory=memory: memory)
        assert Moments(layer).second(False).device.type == place
