"""Scores that are no accuracies, and what is said of the dense network before a search."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

import rdsearch
from rdsearch.compression.measure import Baseline
from rdsearch.report.search import show_end, write_pictures
from rdsearch.search.outcome.results import read_results
from rdsearch.search.run.cluster import Slots
from rdsearch.search.run.progress import reference_accuracy
from rdsearch.search.run.runner import _announce
from rdsearch.tasks.task import Task
from tests.search.books import Books
from tests.tasks.helpers import blobs, seeded_network


def regression() -> Task:
    """A linear map, and a score of which less is better."""
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(500, 16)).astype(np.float32)
    weight = generator.laplace(size=(16, 4)).astype(np.float32)

    def squared_error(network: nn.Module, batches: object) -> float:
        errors = [((network(inputs) - targets) ** 2).mean(dim=1) for inputs, targets in batches]  # type: ignore[attr-defined]
        return float(torch.cat(errors).mean())

    network = nn.Linear(16, 4)
    with torch.no_grad():
        network.weight.copy_(torch.from_numpy(weight.T))
        network.bias.zero_()
    noisy = inputs @ weight + 0.1 * generator.normal(size=(500, 4)).astype(np.float32)
    return Task(
        network=network,
        train=(inputs, noisy),
        validation=100,
        test=(inputs[:50], noisy[:50]),
        evaluate=squared_error,
        direction="minimize",
        loss=nn.functional.mse_loss,
        name="regression",
    )


def test_a_score_of_which_less_is_better_is_searched_the_right_way_round(tmp_path: Path) -> None:
    space = {
        "recipe": {
            "pruning": {"rounds": 4, "rate": {"float": [0.2, 0.5]}},
            "retrain": {"epochs": 0},
            "quantization": {"step": {"float": [0.02, 0.5], "log": True}},
        },
        "search": {"trials": 3, "constraints": {"accuracy_drop": 1000.0}},
    }
    task, log = regression(), io.StringIO()
    front = rdsearch.search(space, task=task, out=tmp_path / "s", console=Console(file=log, width=200))
    results = read_results(tmp_path / "s")
    assert "minus what evaluate returns, of which less is better" in log.getvalue()
    assert "±" not in log.getvalue()
    assert len(results.points) == 12
    smallest, best = front[0], front[-1]
    assert smallest.size_bytes < best.size_bytes
    assert smallest.val_accuracy < best.val_accuracy < 0
    assert smallest.accuracy_drop > best.accuracy_drop
    assert best.accuracy_drop == front.baseline_accuracy - best.val_accuracy
    assert best.val_accuracy == max(point.val_accuracy for point in results.points)
    evaluated = task.score(rdsearch.load(best.path or b"", into=task.fresh_network()))
    assert evaluated == best.val_accuracy
    assert front.hypervolume(reference_accuracy=reference_accuracy(front.baseline_accuracy, {"accuracy_drop": 5})) > 0
    assert front.pick(max_drop=smallest.accuracy_drop) == smallest
    tested = rdsearch.score_on_test(tmp_path / "s", task=task)
    assert all(point.test_accuracy is not None and point.test_accuracy < 0 for point in tested)
    results = read_results(tmp_path / "s")
    end = io.StringIO()
    write_pictures(results)
    show_end(Console(file=end, width=100), results)
    assert "val is minus the score, of which less is better" in end.getvalue()
    assert f"rdsearch front {tmp_path / 's'} --knee" in end.getvalue()
    assert "of one point" not in end.getvalue()  # of accuracy, which this is not
    assert "standard error" not in (tmp_path / "s" / "report.html").read_text(encoding="utf-8").partition("<script")[0]


def test_without_bounds_negative_scores_are_worth_nothing_at_twice_the_dense_one() -> None:
    assert reference_accuracy(-3.0, {}) == -6.0
    assert reference_accuracy(0.9, {}) == 0.0
    assert reference_accuracy(-3.0, {"accuracy_drop": 1.0}) == -4.0


def announced(task: Task, accuracy: float, folder: Path) -> str:
    log = io.StringIO()
    ledger = Books(folder).open()
    _announce(Console(file=log, width=80), task, Baseline(accuracy, 4000), ledger, Slots(1, 0, 2))
    return log.getvalue()


@pytest.mark.parametrize(
    ("accuracy", "warning"), [(0.98, ""), (0.9, "this network reaches 0.9840"), (0.3, "the commonest class alone")]
)
def test_the_dense_accuracy_is_shown_with_its_error_and_doubts_before_a_search(
    tmp_path: Path, accuracy: float, warning: str
) -> None:
    task = Task(network=seeded_network(), train=blobs(3000), validation=1000, expected_accuracy=0.984, held_out=True)
    said = announced(task, accuracy, tmp_path)
    error = math.sqrt(accuracy * (1 - accuracy) / 1000)
    assert f"validation accuracy {accuracy:.4f} ± {error:.4f} (standard error) on 1,000 examples" in said
    assert said.count("Warning: ") == bool(warning)
    assert warning in said
