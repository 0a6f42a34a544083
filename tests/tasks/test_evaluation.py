from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rdsearch.base.units import standard_error
from rdsearch.errors import TaskError
from rdsearch.tasks.evaluation import accuracy, evaluate
from rdsearch.tasks.splits import ArraySplit, Batch, LoaderSplit
from tests.tasks.helpers import blobs, seeded_network


@given(batch_size=st.integers(1, 300))
def test_accuracy_is_the_share_of_right_answers_whatever_the_batch_size(batch_size: int) -> None:
    logits = np.random.default_rng(0).normal(size=(240, 3)).astype(np.float32)
    labels = np.arange(240) % 3
    expected = np.mean(logits.argmax(1) == labels)
    assert accuracy(nn.Identity(), ArraySplit(logits, labels), batch_size=batch_size) == pytest.approx(expected)


def test_networks_are_evaluated_in_eval_mode_without_gradients_and_their_mode_restored(split: ArraySplit) -> None:
    network = seeded_network()
    network.get_submodule("3").eval()
    running = network.get_buffer("1.running_mean").clone()

    def probe(given: nn.Module, batches: Iterable[Batch]) -> float:
        assert not any(module.training for module in given.modules())
        assert not torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        return sum(len(targets) for _, targets in batches)

    assert evaluate(network, split, probe) == len(split)
    assert [module.training for module in network.modules()] == [True, True, True, True, False]
    assert torch.equal(network.get_buffer("1.running_mean"), running)


def test_the_mode_is_restored_after_an_error(split: ArraySplit) -> None:
    def broken(network: nn.Module, batches: Iterable[Batch]) -> float:
        raise RuntimeError("no")

    network = seeded_network()
    with pytest.raises(RuntimeError, match="no"):
        evaluate(network, split, broken)
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize("score", [None, "high"])
def test_a_score_that_is_no_number_is_refused(split: ArraySplit, score: object) -> None:
    with pytest.raises(TaskError, match="one number"):
        evaluate(seeded_network(), split, lambda network, batches: score)  # type: ignore[arg-type, return-value]


def test_networks_with_several_inputs_get_them_by_position_or_name() -> None:
    class Sum(nn.Module):
        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            return left + right

    inputs, labels = blobs(12)
    logits = torch.from_numpy(inputs[:, :3].copy())
    tuples = [((value, torch.zeros(3)), int(label)) for value, label in zip(logits, labels, strict=True)]
    named = [({"left": left, "right": right}, label) for (left, right), label in tuples]
    expected = accuracy(nn.Identity(), ArraySplit(logits.numpy(), labels))
    for examples in (tuples, named):
        split = LoaderSplit(torch.utils.data.DataLoader(examples))  # type: ignore[arg-type]
        assert accuracy(Sum(), split) == expected


def test_standard_error_of_a_proportion() -> None:
    assert standard_error(0.5, 100) == pytest.approx(0.05)
    assert standard_error(1.0, 10) == 0.0
    draws = np.random.default_rng(0).binomial(5000, 0.98, size=20_000) / 5000
    assert standard_error(0.98, 5000) == pytest.approx(draws.std(), rel=0.03)


@pytest.mark.parametrize(
    "targets", [np.zeros((20, 4), np.float32), np.zeros(20, np.float32), np.zeros((20, 2), np.int64)]
)
def test_accuracy_is_not_taken_of_what_is_no_classification(targets: np.ndarray) -> None:
    split = ArraySplit(np.zeros((20, 4), np.float32), targets)
    with pytest.raises(TaskError, match=r"accuracy takes logits \(b, classes\) and whole labels .*evaluate="):
        accuracy(nn.Linear(4, 2), split)
