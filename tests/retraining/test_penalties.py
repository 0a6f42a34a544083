from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from rdsearch.retraining import PENALTIES
from rdsearch.retraining.penalties import WIDTH, Penalty, funnel, grouped, l1, log_sum
from rdsearch.retraining.survivors import Survivors
from rdsearch.tasks.evaluation import accuracy
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.splits import ArraySplit
from rdsearch.tasks.training.train import train
from tests.tasks.helpers import blobs

CURVES = {
    "l1": lambda u: u,
    "log_sum": lambda u: WIDTH * torch.log(1 + u / WIDTH),
    "funnel": lambda u: WIDTH * u / (u + WIDTH),
}


@pytest.mark.parametrize("name", CURVES)
def test_a_slope_is_its_penaltys_derivative_and_1_at_zero(name: str) -> None:
    magnitudes = torch.linspace(0.0, 4.0, 41, dtype=torch.float64, requires_grad=True)
    CURVES[name](magnitudes).sum().backward()
    slope = PENALTIES.load(name)(magnitudes.detach())
    torch.testing.assert_close(slope, magnitudes.grad)
    assert slope[0] == 1.0


def expected_pull(weights: torch.Tensor) -> torch.Tensor:
    """`grouped`, one weight after the other."""
    squares = weights.square()
    pulls = torch.empty_like(weights)
    for at in itertools.product(*(range(extent) for extent in weights.shape)):
        row, column = squares[at[0]].mean() / squares.mean(), squares[:, at[1]].mean() / squares.mean()
        pulls[at] = WIDTH / (WIDTH + (row * column).sqrt())
    return pulls


@pytest.mark.parametrize("shape", [(4, 6), (3, 5, 2), (3, 2, 3, 3), (4, 1, 3, 3), (2, 3, 2, 2, 2)])
def test_the_grouped_pull_is_that_of_the_row_and_the_column(shape: tuple[int, ...]) -> None:
    weights = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights[0, 0] = 0.0
    torch.testing.assert_close(grouped(weights.abs()), expected_pull(weights))


def test_an_empty_row_or_column_pulls_in_full_and_a_layer_of_zeros_does_no_harm() -> None:
    weights = torch.ones(3, 4)
    weights[1], weights[:, 2] = 0.0, 0.0
    pull = grouped(weights)
    assert (pull[1] == 1).all()
    assert (pull[:, 2] == 1).all()
    assert pull[0, 0] == pull[2, 3] < 0.1
    assert torch.isfinite(grouped(torch.zeros(3, 4, 2, 2))).all()


def test_the_grouped_penalty_leaves_about_as_many_survivors_in_fewer_rows_and_columns() -> None:
    split = ArraySplit(*blobs())
    survivors, filled = {}, {}
    for name, weight in (("log_sum", 4.0), ("grouped", 8.0)):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))
        masks = {f"{at}.weight": torch.ones(32, 4 if at == 0 else 32, dtype=torch.bool) for at in (0, 2)}
        penalty = Penalty(Survivors(network, masks), PENALTIES.load(name), weight)
        train(network, split, TrainingConfig(epochs=12, lr=0.02, batch_size=16), masks=masks, hooks=[penalty])
        alive = network.get_parameter("2.weight") != 0
        survivors[name] = int(alive.sum())
        filled[name] = survivors[name] / int(alive.any(1).sum() * alive.any(0).sum())
        assert accuracy(network, split) > 0.97
    assert survivors["grouped"] == pytest.approx(survivors["log_sum"], rel=0.1)
    assert filled["grouped"] > 1.3 * filled["log_sum"]


def layer(*weights: float) -> nn.Linear:
    linear = nn.Linear(len(weights), 1)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([weights]))
    return linear


def test_one_step_is_the_soft_threshold_and_small_weights_become_exactly_zero() -> None:
    linear = layer(3.0, -4.0, 0.05, -0.05, 9.0)
    mask = torch.tensor([[True, True, True, True, False]])
    unit = math.sqrt((9 + 16 + 2 * 0.0025) / 4)
    Penalty(Survivors(linear, {"weight": mask}), l1, weight=2.0).after_step(0.1)
    shrunk = 0.1 * 2.0 * unit
    torch.testing.assert_close(linear.weight.detach(), torch.tensor([[3 - shrunk, -4 + shrunk, 0.0, 0.0, 9.0]]))
    assert (linear.weight[0, 2:4] == 0).all()


def test_the_unit_is_that_of_the_weights_that_are_left() -> None:
    linear = layer(3.0, -4.0, 0.5, 0.5)
    penalty = Penalty(Survivors(linear, {"weight": torch.ones(1, 4, dtype=torch.bool)}), l1, weight=1.0)
    with torch.no_grad():
        linear.weight[0, 2:] = 0.0
    penalty.after_step(0.1)
    unit = math.sqrt((9 + 16) / 2)
    torch.testing.assert_close(linear.weight.detach(), torch.tensor([[3 - 0.1 * unit, -4 + 0.1 * unit, 0.0, 0.0]]))


@pytest.mark.parametrize("slope", [log_sum, funnel])
def test_concave_penalties_spare_large_weights(slope: object) -> None:
    linear = layer(1.0, 0.02)
    Penalty(Survivors(linear, {"weight": torch.ones(1, 2, dtype=torch.bool)}), slope, weight=1.0).after_step(0.05)  # type: ignore[arg-type]
    assert 1 - linear.weight[0, 0] < 0.2 * 0.05
    assert linear.weight[0, 1] == 0


def test_the_pull_does_not_depend_on_a_layers_scale() -> None:
    shares = []
    for scale in (1.0, 1000.0):
        linear = layer(scale, 2 * scale, -3 * scale)
        Penalty(Survivors(linear, {"weight": torch.ones(1, 3, dtype=torch.bool)}), log_sum, 1.0).after_step(0.1)
        shares.append(linear.weight.detach() / scale)
    torch.testing.assert_close(shares[0], shares[1])


@pytest.mark.parametrize(("name", "weight"), [("l1", 1.5), ("log_sum", 11.0), ("funnel", 120.0)])
def test_training_under_a_penalty_leaves_zeros_where_inputs_say_nothing(name: str, weight: float) -> None:
    inputs, labels = blobs()
    inputs[:, 3] = 0.0
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    masks = {"0.weight": torch.ones(16, 4, dtype=torch.bool)}
    penalty = Penalty(Survivors(network, masks), PENALTIES.load(name), weight)
    config = TrainingConfig(epochs=12, lr=0.02, batch_size=16)
    split = ArraySplit(inputs, labels)
    train(network, split, config, masks=masks, hooks=[penalty])
    zeros = (network.get_parameter("0.weight") == 0).float().mean(0)
    assert zeros[3] > 0.9
    assert zeros[:3].mean() < zeros[3]
    assert accuracy(network, split) > 0.97
