from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rdsearch.compression.packing.pack import pack
from rdsearch.config.recipe import QuantizationRecipe
from rdsearch.errors import QuantizationError
from rdsearch.quantization.sensitivity import EXPONENT, FARTHEST, sensitive_steps, sensitivities
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
    assert found == pytest.approx(SHARED, rel=0.05)


@pytest.mark.parametrize("scale", [0.25, 3.0])
def test_a_weights_sensitivity_is_the_squared_error_of_the_outputs_that_an_error_of_it_makes(scale: float) -> None:
    """In closed form: an error of 1 in one weight moves one output by its input, whose mean square is known."""
    network, x = Branches(scale), inputs()
    found = sensitivities(network, list(SHARED), x)
    assert found["loud.weight"] == pytest.approx(float(x.square().mean()), rel=0.05)
    assert found["quiet.weight"] == pytest.approx(scale**2 * float(x.square().mean()), rel=0.05)


def test_sensitivity_counts_survivors_alone() -> None:
    network, x = Branches(1.0), inputs()
    whole = sensitivities(network, list(SHARED), x)
    with torch.no_grad():
        network.loud.weight[:, : network.loud.weight.shape[1] * 3 // 4] = 0.0
    pruned = sensitivities(network, list(SHARED), x)
    assert pruned["loud.weight"] == pytest.approx(whole["loud.weight"], rel=0.1)


def test_steps_are_apart_by_a_power_of_the_outputs_scale() -> None:
    found = sensitive_steps(Branches(0.25), SHARED, [inputs()])
    assert found["quiet.weight"] / found["loud.weight"] == pytest.approx(4.0**EXPONENT, rel=0.05)
    assert found["quiet.weight"] * found["loud.weight"] == pytest.approx(0.04**2, rel=1e-6)


def test_at_the_same_rate_the_outputs_lose_less() -> None:
    network = Branches(0.1)
    found = sensitive_steps(network, SHARED, [inputs()])
    assert entropy(network, found) <= 1.02 * entropy(network, SHARED)
    assert error(network, found) < 0.5 * error(network, SHARED)


def test_no_step_is_farther_from_the_shared_one_than_allowed() -> None:
    found = sensitive_steps(Branches(1e-9), SHARED, [inputs()])
    assert found["quiet.weight"] == FARTHEST * 0.04
    assert found["loud.weight"] == 0.04 / FARTHEST


def test_what_no_output_depends_on_keeps_its_step() -> None:
    found = sensitive_steps(Branches(0.0), SHARED, [inputs()])
    assert found["quiet.weight"] == 0.04


def test_layers_that_run_several_times_and_looked_up_rows_count() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.rows, self.layer = nn.Embedding(8, 16), nn.Linear(16, 16, bias=False)

        def forward(self, places: Tensor) -> Tensor:
            return self.layer(self.layer(self.rows(places)))  # type: ignore[no-any-return]

    found = sensitivities(Twice(), ["rows.weight", "layer.weight"], torch.arange(64) % 8)
    assert all(one > 0 for one in found.values())


def test_frozen_weights_and_a_mode_without_derivatives_outside_make_no_difference() -> None:
    free, frozen = Branches(0.25), Branches(0.25)
    frozen.requires_grad_(False)
    with torch.no_grad():
        found = sensitive_steps(frozen, SHARED, [inputs()])
    assert found == sensitive_steps(free, SHARED, [inputs()])
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


def test_a_network_without_derivatives_is_refused_in_a_sentence() -> None:
    class Silent(Branches):
        @torch.no_grad()
        def forward(self, inputs: Tensor) -> Tensor:
            return super().forward(inputs)

    with pytest.raises(QuantizationError, match=r"needs the derivatives.*without torch\.no_grad"):
        sensitive_steps(Silent(1.0), SHARED, [inputs()])


def test_outputs_that_are_not_finite_are_refused() -> None:
    with pytest.raises(QuantizationError, match="NaN or infinite"):
        sensitive_steps(Branches(1.0), SHARED, [inputs() * float("inf")])


def test_the_network_is_as_it_was_and_trains_on() -> None:
    network = Branches(0.3).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    sensitive_steps(network, SHARED, [inputs()])
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


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
