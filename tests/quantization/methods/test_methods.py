from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rdsearch.errors import QuantizationError
from rdsearch.quantization import LOOK_AT_INPUTS, METHODS
from rdsearch.quantization.batchnorm import batchnorm_layers
from rdsearch.quantization.inputs import on_input
from rdsearch.quantization.method import Work
from rdsearch.quantization.solver.rates import estimate
from rdsearch.quantization.treatment import treated_weights
from rdsearch.quantization.uniform import Quantized, dequantize
from rdsearch.quantization.watch import run_watched
from tests.tasks.helpers import FORMS, AnyForm

every_method = pytest.mark.parametrize("method", METHODS)
calibrated = pytest.mark.parametrize("method", sorted(LOOK_AT_INPUTS))


class Small(nn.Module):
    """Grouped and plain convolutions, a shortcut, batch normalisations, biases, an in-place ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.conv2, self.bn2 = nn.Conv2d(16, 16, 3, padding=1, groups=2, bias=False), nn.BatchNorm2d(16)
        self.fc1, self.relu, self.fc2 = nn.Linear(16, 24), nn.ReLU(inplace=True), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(x + self.bn2(self.conv2(x)))
        return self.fc2(self.relu(self.fc1(x.mean((2, 3)))))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    network = Small()
    with torch.no_grad():
        network.train()(inputs(seed=7))
        for name in ("conv2", "fc1"):
            weight = network.get_parameter(f"{name}.weight")
            weight.mul_(torch.rand_like(weight) < 0.6)
    return network.eval()


def inputs(count: int = 96, seed: int = 1) -> Tensor:
    """Images whose neighbouring pixels are alike."""
    noise = torch.randn(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(noise, size=(8, 8), mode="bilinear")


def work_on(network: nn.Module, step: float = 0.1, batches: Sequence[Any] | None = None, **settings: object) -> Work:
    steps = {name: step for name, parameter in network.named_parameters() if parameter.dim() > 1}
    batches = [inputs()] if batches is None else batches
    return Work(network, copy.deepcopy(network), steps, batches=batches, **settings)  # type: ignore[arg-type]


def difference(work: Work, batch: Tensor) -> float:
    with torch.no_grad():
        return float((work.coarse.eval()(batch) - work.network(batch)).square().mean())


def bits(levels: dict[str, Quantized]) -> float:
    matrices = [torch.from_numpy(quantized.levels).flatten(1) for quantized in levels.values()]
    return sum(float(estimate(matrix, 1).of(matrix).sum()) for matrix in matrices)


@every_method
def test_a_method_leaves_what_its_levels_decode_to_and_touches_nothing_else(network: nn.Module, method: str) -> None:
    before = copy.deepcopy(network.state_dict())
    work = work_on(network, rate_weight=0.04)
    levels = METHODS.load(method)(work)
    assert sorted(levels) == sorted(work.steps)
    for name, quantized in levels.items():
        decoded = work.coarse.get_parameter(name).detach().numpy()
        np.testing.assert_array_equal(decoded, dequantize(quantized))
        assert not decoded[before[name].numpy() == 0].any()
        assert decoded.any()
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    for module in [*network.modules(), *work.coarse.modules()]:
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert not network.training


@every_method
def test_the_same_network_gives_the_same_levels(network: nn.Module, method: str) -> None:
    first, again = (METHODS.load(method)(work_on(network, rate_weight=0.04)) for _ in range(2))
    assert all((first[name].levels == again[name].levels).all() for name in first)


@every_method
def test_a_fine_step_and_free_bits_give_the_very_function(network: nn.Module, method: str) -> None:
    work = work_on(network, 1e-4)
    METHODS.load(method)(work)
    assert difference(work, inputs(seed=2)) < 1e-5


@every_method
def test_a_dearer_bit_makes_fewer_of_them_where_the_method_looks_at_rates(network: nn.Module, method: str) -> None:
    cheap, dear = (bits(METHODS.load(method)(work_on(network, rate_weight=price))) for price in (0.0, 0.3))
    assert dear == cheap if method == "uniform" else dear < 0.95 * cheap


def test_methods_that_look_at_inputs_err_less_on_unseen_ones_than_rounding(network: nn.Module) -> None:
    errors: dict[str, float] = {}
    for method in METHODS:
        work = work_on(network, 0.2, [inputs(2000)])
        METHODS.load(method)(work)
        errors[method] = difference(work, inputs(500, seed=2))
    assert errors["hessian"] < 0.7 * errors["uniform"]
    assert errors["sequential"] < 0.7 * errors["uniform"]


@every_method
def test_plain_weights_are_rounded_to_nearest(network: nn.Module, method: str) -> None:
    plain = frozenset({"conv2.weight"})
    work = work_on(network, rate_weight=0.5, dead_zone=2.0, plain=plain)
    levels = METHODS.load(method)(work)
    weight = network.get_parameter("conv2.weight").detach().numpy()
    assert np.abs(dequantize(levels["conv2.weight"]) - weight).max() <= levels["conv2.weight"].step / 2 * (1 + 1e-6)
    other = network.get_parameter("conv1.weight").detach().numpy()
    assert np.abs(dequantize(levels["conv1.weight"]) - other).max() > levels["conv1.weight"].step / 2


@every_method
def test_batch_normalisation_is_matched_only_when_asked_for(network: nn.Module, method: str) -> None:
    for matched in (False, True):
        work = work_on(network, 0.3, match_batchnorm=matched)
        METHODS.load(method)(work)
        scales = [layer.weight for layer in batchnorm_layers(work.coarse).values()]
        same = [
            torch.equal(scale, layer.weight)
            for scale, layer in zip(scales, batchnorm_layers(network).values(), strict=True)
        ]
        assert same == [not matched] * 2


@calibrated
def test_a_bias_restores_the_mean_of_its_layers_outputs(method: str) -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(6, 9), nn.ReLU(inplace=True), nn.Linear(9, 4)).eval()
    batch = torch.randn(500, 6) + 1
    work = work_on(network, 0.3, [batch])
    METHODS.load(method)(work)
    with torch.no_grad():
        wanted, found = network[0](batch).mean(0), work.coarse[0](batch).mean(0)
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(batch @ work.coarse[0].weight.T, batch @ network[0].weight.T, atol=1e-2)
        if method == "sequential":
            torch.testing.assert_close(work.coarse(batch).mean(0), network(batch).mean(0), atol=1e-5, rtol=1e-5)


def restored(work: Work) -> dict[str, bool]:
    watch = run_watched(work.network, list(work.steps), work.batches[0], lambda name, product: None)
    return {name: treated.restored for name, treated in treated_weights(work, watch).items()}


def test_layers_whose_mean_something_restores_are_recognised(network: nn.Module) -> None:
    work = work_on(network)
    names = ["conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight"]
    assert restored(work) == dict.fromkeys(names, True)
    unmatched = work_on(network, match_batchnorm=False)
    assert restored(unmatched) == dict.fromkeys(names[:2], False) | dict.fromkeys(names[2:], True)


class Mixed(nn.Module):
    """An embedding and an attention, a weight that is no layer's, and a linear layer that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, 6, 8))
        self.embedding = nn.Embedding(20, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.fc, self.unused = nn.Linear(8, 3), nn.Linear(4, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens) + self.position
        return self.fc(self.attention(x, x, x, need_weights=False)[0].mean(1))


TOKENS = torch.arange(96).reshape(16, 6) % 20


@calibrated
@pytest.mark.parametrize(
    ("make", "batch"),
    [
        (Mixed, TOKENS),
        (lambda: nn.Linear(5, 4), torch.randn(32, 5)),
        (
            lambda: nn.Sequential(nn.ConvTranspose2d(2, 3, 2), nn.Flatten(), nn.Linear(27, 2)),
            torch.randn(16, 2, 2, 2),
        ),
        (
            lambda: nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 4, bias=False)).bfloat16(),
            torch.randn(32, 5).bfloat16(),
        ),
    ],
    ids=["attention", "a layer alone", "transposed", "half precision"],
)
def test_every_weight_gets_its_levels_whether_its_inputs_are_seen_or_not(
    method: str, make: Callable[[], nn.Module], batch: Tensor
) -> None:
    torch.manual_seed(0)
    network = make().eval()
    work = work_on(network, 0.05, [batch])
    levels = METHODS.load(method)(work)
    assert sorted(levels) == sorted(work.steps)
    with torch.no_grad():
        torch.testing.assert_close(work.coarse(batch), network(batch), atol=0.3, rtol=0.1)


@every_method
def test_a_calibration_set_of_one_image_is_refused(network: nn.Module, method: str) -> None:
    with pytest.raises(QuantizationError, match="the calibration set has 1 example, and statistics need at least 2"):
        METHODS.load(method)(work_on(network, batches=[inputs(1)]))


@every_method
def test_a_calibration_set_of_two_images_will_do(network: nn.Module, method: str) -> None:
    work = work_on(network, batches=[inputs(2)])
    METHODS.load(method)(work)
    with torch.no_grad():
        assert torch.isfinite(work.coarse(inputs())).all()


@every_method
def test_weights_that_are_not_finite_are_refused(network: nn.Module, method: str) -> None:
    with torch.no_grad():
        network.get_parameter("fc1.weight")[0, 0] = float("inf")
    with pytest.raises(QuantizationError, match="NaN or infinite"):
        METHODS.load(method)(work_on(network))


@calibrated
def test_a_weight_that_is_all_zero_stays_so(network: nn.Module, method: str) -> None:
    with torch.no_grad():
        network.get_parameter("conv2.weight").zero_()
    work = work_on(network)
    levels = METHODS.load(method)(
        Work(work.network, work.coarse, {**work.steps, "conv2.weight": 0.0}, batches=work.batches)
    )
    assert not levels["conv2.weight"].levels.any()
    with torch.no_grad():
        assert torch.isfinite(work.coarse(inputs())).all()


@calibrated
@pytest.mark.parametrize("count", [0, 2])
def test_all_calibration_inputs_are_asked_for_in_one_batch(network: nn.Module, method: str, count: int) -> None:
    with pytest.raises(QuantizationError, match=f"{count} batches of calibration inputs are given"):
        METHODS.load(method)(work_on(network, batches=[inputs()] * count))


@calibrated
def test_inputs_that_are_not_finite_are_refused_by_layer(network: nn.Module, method: str) -> None:
    broken = inputs()
    broken[3] = float("nan")
    with pytest.raises(QuantizationError, match=r"the inputs of conv1\.weight have NaN or infinite values"):
        METHODS.load(method)(work_on(network, batches=[broken]))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@every_method
@pytest.mark.parametrize("by_keyword", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_inputs_in_any_form_and_layers_called_by_keyword_give_the_same_network(
    method: str, form: str, by_keyword: bool
) -> None:
    x = torch.randn(100, 4, generator=torch.Generator().manual_seed(1))
    expected, found = work_on(AnyForm().eval(), 0.2, [x]), work_on(AnyForm(by_keyword).eval(), 0.2, [FORMS[form](x)])
    wanted, levels = METHODS.load(method)(expected), METHODS.load(method)(found)
    assert all((levels[name].levels == quantized.levels).all() for name, quantized in wanted.items())
    for name, value in expected.coarse.state_dict().items():
        assert torch.equal(found.coarse.state_dict()[name], value), name
    assert restored(found) == {"body.0.weight": True, "body.3.weight": True}


@every_method
def test_a_single_example_in_a_mapping_is_refused_and_two_under_one_key_are_not(method: str) -> None:
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(1))
    with pytest.raises(QuantizationError, match="the calibration set has 1 example,"):
        METHODS.load(method)(work_on(AnyForm().eval(), batches=[FORMS["mapping"](x[:1])]))
    METHODS.load(method)(work_on(AnyForm().eval(), batches=[FORMS["one key"](x)]))


class Scaled(nn.Linear):
    def forward(self, inputs: Tensor, scale: float = 1.0) -> Tensor:
        return super().forward(inputs) * scale


def test_the_input_of_a_layer_is_found_among_keyword_arguments() -> None:
    layer, x, found = Scaled(3, 2), torch.randn(5, 3), []
    handle = on_input(layer, found.append)
    for call in (lambda: layer(x, 2.0), lambda: layer(x, scale=2.0), lambda: layer(scale=2.0, inputs=x)):
        call()
    handle.remove()
    layer(x)
    assert [one is x for one in found] == [True] * 3


@calibrated
def test_much_damping_keeps_the_weights_and_little_the_outputs(method: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(24, 12, bias=False)).eval()
    mixed = torch.randn(200, 24) @ torch.randn(24, 24)
    lost: dict[float, tuple[float, float]] = {}
    for damping in (0.001, 10.0):
        work = work_on(network, batches=[mixed], damping=damping)
        METHODS.load(method)(work)
        weights = float((work.coarse[0].weight - network[0].weight).detach().square().mean())  # type: ignore[index, operator, union-attr]
        lost[damping] = weights, difference(work, mixed)
    assert lost[10.0][0] < 0.8 * lost[0.001][0]
    assert lost[0.001][1] < 0.8 * lost[10.0][1]
