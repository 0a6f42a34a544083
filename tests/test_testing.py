from __future__ import annotations

import numpy as np
import pytest
from torch import nn

import rdsearch
from rdsearch.errors import PruningError
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.task import Task
from rdsearch.testing import check_task, describe_task, prunable_layers
from tests.tasks.helpers import TiedTransformer, blobs, counting_sequences, seeded_network


def test_check_task_is_a_public_name() -> None:
    assert rdsearch.testing.check_task is check_task
    assert check_task(Task(network=seeded_network, train=blobs(1200), test=blobs(300, seed=9))) == []


def test_a_task_that_is_not_trained_is_checked_without_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object, **options: object) -> None:
        raise AssertionError("it was trained")

    monkeypatch.setattr("rdsearch.tasks.training.baseline.train", forbidden)
    inputs, labels = blobs(1200)
    assert check_task(Task(network=seeded_network, train=(inputs, labels)), train=False) == []
    problems = check_task(Task(network=seeded_network, train=(inputs, labels + 1)), train=False)
    assert [problem.partition(":")[0] for problem in problems] == ["train", "validation"]
    assert all("labels go from 1 to 3, the network has 3 outputs" in problem for problem in problems)


def test_the_prunable_weights_are_counted_by_layer_and_tied_ones_once() -> None:
    task = Task(network=TiedTransformer(), train=counting_sequences())
    assert prunable_layers(task) == {
        "embedding.weight": 88,
        "attention.in_proj_weight": 192,
        "attention.out_proj.weight": 64,
        "feed.0.weight": 128,
        "feed.2.weight": 128,
    }
    assert "embedding.weight" not in prunable_layers(task, ["out*"])
    with pytest.raises(PruningError, match="attn"):
        prunable_layers(task, ["attn*"])


def test_a_description_says_what_a_search_will_work_on() -> None:
    examples, prunable, dense = describe_task(
        Task(network=seeded_network(), train=blobs(1200), validation=200, test=blobs(60))
    )
    assert examples == "1,000 training and 200 validation examples, a test split"
    assert prunable == "112 of 163 parameters can be pruned, in 2 layers: 0.weight 64, 3.weight 48"
    assert dense.startswith("dense network: validation accuracy 0.")
    assert dense.endswith(" on 200 examples")


def test_a_description_counts_layers_that_are_too_many_to_name_and_leaves_an_untrained_network_so() -> None:
    network = nn.Sequential(nn.Linear(4, 4), *(nn.Linear(4, 4) for _ in range(8)), nn.Linear(4, 3))
    task = Task(network=lambda: network, train=blobs(), training=TrainingConfig(epochs=3))
    _, prunable, dense = describe_task(task)
    assert prunable.endswith("5.weight 16 and 4 more")
    assert "not trained yet" in dense
    assert np.isfinite(task.score(network))
