from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rdsearch.compression.measure import measure_baseline
from rdsearch.compression.rounds import compress
from rdsearch.errors import TaskError
from rdsearch.tasks.divergence import divergence
from rdsearch.tasks.loading import load_task
from rdsearch.tasks.settings import TaskConfig
from rdsearch.tasks.task import Task
from tests.tasks.helpers import blobs, seeded_network


class Answers(nn.Module):
    """Gives probabilities' logarithms, whatever its inputs."""

    def __init__(self, probabilities: Any) -> None:
        super().__init__()
        self.register_buffer("logits", torch.tensor(probabilities).log() + 3.0)

    def forward(self, inputs: Tensor | None = None, attention_mask: Tensor | None = None) -> Tensor:
        return self.logits  # type: ignore[return-value]


def kl(wanted: list[float], found: list[float]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(wanted, found, strict=True))


def test_divergence_is_the_mean_over_examples_of_the_closed_form() -> None:
    wanted, found = [[0.5, 0.3, 0.2], [0.9, 0.05, 0.05]], [[0.4, 0.4, 0.2], [0.2, 0.5, 0.3]]
    batches = [(torch.zeros(2, 1), None)]
    value = divergence(Answers(wanted), Answers(found), batches)
    assert value == pytest.approx(np.mean([kl(*pair) for pair in zip(wanted, found, strict=True)]), rel=1e-5)
    assert divergence(Answers(wanted), Answers(wanted), batches) == 0.0


def test_positions_count_each_and_padding_does_not() -> None:
    wanted, found = [[[0.5, 0.5], [0.1, 0.9], [0.3, 0.7]]], [[[0.4, 0.6], [0.2, 0.8], [0.9, 0.1]]]
    each = [kl(*pair) for pair in zip(wanted[0], found[0], strict=True)]
    inputs = {"inputs": torch.zeros(1, 3), "attention_mask": torch.tensor([[1, 1, 0]])}
    assert divergence(Answers(wanted), Answers(found), [(torch.zeros(1, 3), None)]) == pytest.approx(
        np.mean(each), rel=1e-5
    )
    assert divergence(Answers(wanted), Answers(found), [(inputs, None)]) == pytest.approx(np.mean(each[:2]), rel=1e-5)


def test_images_have_their_classes_on_the_second_axis() -> None:
    wanted = torch.softmax(torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)), 1)
    found = torch.softmax(torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1)), 1)
    value = divergence(Answers(wanted.tolist()), Answers(found.tolist()), [(torch.zeros(2, 1), None)])
    assert value == pytest.approx(float((wanted * (wanted / found).log()).sum(1).mean()), rel=1e-5)


@pytest.mark.parametrize(("shape", "said"), [((4, 1), "two classes or more"), ((4,), r"\(4,\)")])
def test_what_has_no_classes_is_refused(shape: tuple[int, ...], said: str) -> None:
    network = Answers(torch.ones(shape).tolist())
    with pytest.raises(TaskError, match=said):
        divergence(network, network, [(torch.zeros(4, 1), None)])


@pytest.mark.filterwarnings("ignore:there is no loss")  # which is said, and right
def test_a_task_scored_by_divergence_needs_no_targets_and_its_dense_network_is_perfect() -> None:
    inputs, _ = blobs()
    task = Task(network=seeded_network(), train=(inputs, np.zeros(len(inputs), np.float32)), evaluate="kl")
    assert task.direction == "minimize"
    assert task.loss is None
    assert measure_baseline(task).accuracy == 0.0
    fine, coarse = (
        next(compress(task, {"pruning": {"rate": 0}, "quantization": {"step": step}}, device="cpu"))
        for step in (0.05, 1.5)
    )
    assert 0 < fine.accuracy_drop < coarse.accuracy_drop
    assert fine.val_accuracy == -fine.accuracy_drop


def test_a_search_file_asks_for_it_by_name() -> None:
    task = load_task(TaskConfig(network="digits_cnn", dataset="digits", evaluate="kl", train={"epochs": 0}))
    assert not task.is_accuracy
    assert task.expected_accuracy is None
    assert task.score(task.fresh_network()) < 0
    with pytest.raises(TaskError, match="give a function, or 'kl'"):
        Task(network=seeded_network(), train=blobs(), evaluate="perplexity")  # type: ignore[arg-type]
