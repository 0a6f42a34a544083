from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import rdsearch
from rdsearch.tasks import Task
from rdsearch.tasks.evaluation import evaluate
from rdsearch.tasks.splits import ArraySplit, Batch
from tests.tasks.helpers import blobs, seeded_network

RECIPE = {"pruning": {"rounds": 2, "rate": 0.3}, "retrain": {"batch_size": 32}}

MODES = [torch.no_grad, torch.inference_mode]


def under_attack(network: nn.Module, batches: Iterable[Batch]) -> float:
    """Accuracy on inputs that one step along the gradient has moved."""
    right = count = 0
    for inputs, targets in batches:
        with torch.enable_grad():
            moved = inputs.clone().requires_grad_(True)
            (gradient,) = torch.autograd.grad(F.cross_entropy(network(moved), targets), moved)
        right += int((network(inputs + 0.05 * gradient.sign()).argmax(1) == targets).sum())
        count += len(targets)
    return right / count


class Keeping(nn.Module):
    """Keeps a table that it has made in whichever pass came first, as positional encodings do."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.kept = seeded_network(), torch.ones(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        if len(self.kept) < len(x):
            self.kept = torch.ones(len(x), 1, device=x.device)
        out: Tensor = self.body(x * self.kept[: len(x)])
        return out


class Slope(nn.Module):
    """Gives the gradient of what its layers give, in use and in training."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            return torch.autograd.grad(self.body(x).sum(), x, create_graph=self.training)[0]


@pytest.mark.parametrize("mode", [torch.enable_grad, *MODES])
def test_an_evaluation_may_take_gradients_in_any_mode_of_the_caller(
    mode: Callable[[], AbstractContextManager[None]],
) -> None:
    network = seeded_network()
    with mode():
        score = evaluate(network, ArraySplit(*blobs()), under_attack)
    assert 0 < score <= 1


def test_a_network_may_take_gradients_in_its_forward_pass() -> None:
    inputs, labels = blobs()
    task = Task(network=Slope(), train=(inputs, labels), training={"epochs": 0})
    assert len(list(rdsearch.compress(task, RECIPE))) == 2


@pytest.mark.parametrize("retrain", [{}, {"epochs": 3, "patience": 1}])
def test_what_a_network_keeps_from_a_pass_does_not_stop_its_training(retrain: dict[str, int]) -> None:
    task = Task(network=Keeping(), train=blobs())
    recipe = {**RECIPE, "retrain": {"batch_size": 32, **retrain}}
    assert len(list(rdsearch.compress(task, recipe))) == 2


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("made", ["module", "factory"])
def test_the_caller_s_mode_does_not_reach_training(mode: Callable[[], AbstractContextManager[None]], made: str) -> None:
    def files() -> list[bytes | None]:
        network = seeded_network() if made == "module" else seeded_network
        task = Task(network=network, train=blobs(), training={"epochs": 1})
        return [point.data for point in rdsearch.compress(task, RECIPE)]

    expected = files()
    with mode():
        assert files() == expected
        assert not torch.is_grad_enabled()


def test_between_two_points_the_mode_is_the_caller_s() -> None:
    with torch.inference_mode():
        for _ in rdsearch.compress(Task(network=seeded_network(), train=blobs()), RECIPE):
            assert torch.is_inference_mode_enabled()
