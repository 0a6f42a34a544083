from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rdsearch.compression.packing.pack import pack
from rdsearch.config.recipe import QuantizationRecipe
from rdsearch.errors import QuantizationError
from rdsearch.quantization.sensitivity import FACTORS, Curve, allocate, sensitive_steps
from rdsearch.quantization.uniform import quantize_uniform


class Branches(nn.Module):
    """Two alike, of which the outputs of one are scaled."""

    def __init__(self, scale: float, width: int = 64) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.loud, self.quiet = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.scale = scale

    def forward(self, inputs: Tensor) -> Tensor:
        return self.loud(inputs) + self.scale * self.quiet(inputs)  # type: ignore[no-any-return]


def inputs(width: int = 64) -> Tensor:
    return torch.randn(150, width, generator=torch.Generator().manual_seed(1))


def entropy(network: nn.Module, steps: dict[str, float]) -> float:
    total = 0.0
    for name, step in steps.items():
        levels = quantize_uniform(network.get_parameter(name), step).levels
        shares = np.unique(levels, return_counts=True)[1] / levels.size
        total -= float((shares * np.log2(shares)).sum()) * levels.size
    return total


def error(network: Branches, steps: dict[str, float]) -> float:
    """Expected squared error of the outputs, in closed form: inputs are white, so errors of weights add up."""
    lost = 0.0
    for name, step in steps.items():
        weight = network.get_parameter(name).detach()
        quantized = quantize_uniform(weight, step)
        off = float((weight - torch.from_numpy(quantized.levels) * quantized.step).square().sum())
        lost += off * (network.scale**2 if "quiet" in name else 1.0)
    return lost


SHARED = {"loud.weight": 0.04, "quiet.weight": 0.04}


def test_weights_alike_keep_the_step_that_they_share() -> None:
    found = sensitive_steps(Branches(1.0), SHARED, [inputs()])
    assert found == SHARED


def test_high_rate_theory_gives_steps_as_the_inverse_of_the_outputs_scale() -> None:
    """Least distortion at a rate: every weight's share of it is the same, so that step * scale is."""
    network = Branches(0.25)
    found = sensitive_steps(network, dict.fromkeys(SHARED, 0.01), [inputs()])
    assert found["quiet.weight"] / found["loud.weight"] == pytest.approx(4.0, rel=0.2)


def test_at_the_same_rate_the_outputs_lose_less() -> None:
    network = Branches(0.1)
    found = sensitive_steps(network, SHARED, [inputs()])
    assert entropy(network, found) <= 1.02 * entropy(network, SHARED)
    assert error(network, found) < 0.5 * error(network, SHARED)


def test_what_the_outputs_do_not_show_is_coarse_but_never_gone() -> None:
    network = Branches(0.0)
    found = sensitive_steps(network, SHARED, [inputs()])
    assert found["quiet.weight"] > found["loud.weight"]
    assert quantize_uniform(network.quiet.weight, found["quiet.weight"]).levels.any()


def test_the_network_is_as_it_was_and_trains_on() -> None:
    network = Branches(0.3).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    sensitive_steps(network, SHARED, [inputs()])
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_allocation_is_the_best_of_all_at_its_rate() -> None:
    generator = np.random.default_rng(0)
    count = len(FACTORS)
    curves = [
        Curve(np.linspace(900, 10, count) * generator.uniform(0.5, 2), np.array(FACTORS) ** 2 * generator.uniform(0, 9))
        for _ in range(3)
    ]
    chosen = allocate(curves)
    bits = sum(curve.bits[place] for curve, place in zip(curves, chosen, strict=True))
    lost = sum(curve.distortion[place] for curve, place in zip(curves, chosen, strict=True))
    assert bits <= sum(curve.bits[FACTORS.index(1.0)] for curve in curves)
    for places in np.ndindex(count, count, count):
        if sum(curve.bits[place] for curve, place in zip(curves, places, strict=True)) <= bits:
            assert sum(curve.distortion[place] for curve, place in zip(curves, places, strict=True)) >= lost - 1e-9


def test_without_inputs_it_is_refused_in_a_sentence() -> None:
    with pytest.raises(QuantizationError, match="there are no calibration inputs"):
        sensitive_steps(Branches(1.0), SHARED, [])


def test_a_recipe_asks_for_it() -> None:
    def lost(granularity: str) -> tuple[int, float]:
        network = Branches(0.05)
        settings = QuantizationRecipe(step=0.4, granularity=granularity)  # type: ignore[arg-type]
        data = pack(network, lambda: Branches(0.05), settings, [inputs()])
        from rdsearch.compression.loading import load

        with torch.no_grad():
            other = load(data, into=Branches(0.05))
            return len(data), float((other(inputs()) - network(inputs())).square().mean())

    (plain, far), (shared_out, near) = lost("network"), lost("sensitivity")
    assert shared_out < 1.03 * plain
    assert near < 0.5 * far
