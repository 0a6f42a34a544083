from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from rdsearch.config.recipe import Recipe
from rdsearch.tasks import Task
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.testing import check_task, describe_task
from tests.tasks.helpers import (
    TiedTransformer,
    blobs,
    counting_sequences,
    next_token_loss,
    seeded_network,
    small_network,
)

QUICK = TrainingConfig(epochs=5, lr=0.02, batch_size=32)


def make(**changes: Any) -> Task:
    settings = {"network": small_network, "train": blobs(1200), "test": blobs(300, seed=9), "training": QUICK}
    return Task(**{**settings, **changes})


def problem(task: Task) -> str:
    problems = check_task(task)
    assert problems
    return "\n".join(problems)


def test_a_sound_task_has_no_problems() -> None:
    assert check_task(make()) == []


def test_a_transformer_with_tied_weights_and_its_own_score_has_none() -> None:
    def negative_loss(network: nn.Module, batches: Any) -> float:
        return -float(np.mean([float(next_token_loss(network(tokens), following)) for tokens, following in batches]))

    task = Task(
        network=TiedTransformer,
        train=counting_sequences(96),
        validation=tuple(array[:, ::-1].copy() for array in counting_sequences(30)),
        evaluate=negative_loss,
        loss=next_token_loss,
        training=TrainingConfig(epochs=2, batch_size=16),
    )
    assert check_task(task) == []


def test_labels_beyond_the_outputs_are_found() -> None:
    inputs, labels = blobs(1200)
    assert "labels go from 0 to 5, the network has 3 outputs" in problem(
        make(network=seeded_network(), train=(inputs, labels * 2 + (labels == 2)))
    )


def test_inputs_that_do_not_fit_are_found() -> None:
    inputs, labels = blobs(1200)
    assert "does not take a batch of inputs (8, 3)" in problem(
        make(network=seeded_network(), train=(inputs[:, :3], labels), test=None)
    )


def test_overlapping_splits_are_found() -> None:
    inputs, labels = blobs(1200)
    found = problem(make(test=(inputs[:300], labels[:300])))
    assert "test examples compared are in the train split too" in found
    assert "test examples compared are in the validation split too" in found
    found = problem(make(validation=(inputs[300:500], labels[300:500])))
    assert "200 of 200 validation examples compared are in the train split too" in found


def test_a_network_that_guesses_is_found() -> None:
    assert "the commonest class alone gives" in problem(
        make(network=seeded_network(), train=blobs(1200), training=None)
    )


def test_an_evaluation_that_draws_at_random_is_found() -> None:
    assert "not deterministic" in problem(make(evaluate=lambda network, batches: float(torch.rand(()))))


def test_scores_that_are_no_numbers_or_fail_are_found() -> None:
    assert "score is nan" in problem(make(evaluate=lambda network, batches: float("nan")))
    assert "one number" in problem(make(evaluate=lambda network, batches: None))
    assert "the evaluation fails: ValueError: too few (tests/tasks/test_check.py:" in problem(make(evaluate=fail))


def fail(network: nn.Module, batches: Any) -> float:
    raise ValueError("too few")


def test_weights_that_are_not_finite_or_not_there_are_found() -> None:
    network = seeded_network()
    with torch.no_grad():
        network.get_parameter("0.weight")[0, 0] = float("inf")
    assert "not finite: 0.weight" in problem(make(network=network))


def test_a_network_without_weights_is_fine_where_nothing_is_to_be_pruned() -> None:
    task = make(network=nn.Sequential(nn.BatchNorm1d(4), nn.ReLU()), held_out=True)
    (only,) = check_task(task)
    assert "the network has nothing to prune" in only
    assert "Set pruning.rate: 0 to quantise and code it as it is" in only
    assert check_task(task, recipe=Recipe.model_validate({"pruning": None})) == []
    assert describe_task(task)[1] == "none of 8 parameters can be pruned"


def test_outputs_that_are_no_logits_are_found() -> None:
    assert "accuracy takes logits" in problem(make(network=nn.Sequential(small_network(), nn.Unflatten(1, (3, 1)))))


def test_a_network_that_is_always_the_same_object_is_found() -> None:
    network = seeded_network()
    assert "the same network every time" in problem(make(network=lambda: network, training=TrainingConfig(epochs=0)))


def test_few_validation_examples_are_found() -> None:
    assert "only 50 validation examples: at 90 % the standard error is 4.2 points" in problem(make(validation=50))


def test_a_dataset_with_random_transforms_is_compared_too() -> None:
    class Noisy(Dataset[tuple[torch.Tensor, int]]):
        def __init__(self) -> None:
            self.inputs, self.targets = blobs(1200)

        def __len__(self) -> int:
            return 1200

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return torch.from_numpy(self.inputs[index]) + 0.01 * torch.rand(4), int(self.targets[index])

    assert check_task(make(train=Noisy())) == []


def test_what_two_checks_find_is_said_once() -> None:
    class Sizes(Dataset[tuple[torch.Tensor, int]]):
        def __len__(self) -> int:
            return 1200

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return torch.zeros(3 + index % 2), 0

    (only,) = check_task(make(train=Sizes()))
    assert "their inputs are (3,) and (4,)" in only


def test_validation_data_that_can_only_be_iterated_is_checked_whole() -> None:
    class Stream(IterableDataset[tuple[torch.Tensor, int]]):
        def __len__(self) -> int:
            return 2100

        def __iter__(self) -> Iterator[tuple[torch.Tensor, int]]:
            inputs, labels = blobs(2100, seed=5)
            return zip(torch.from_numpy(inputs), labels.tolist(), strict=True)

    assert check_task(make(validation=DataLoader(Stream(), batch_size=50))) == []


def test_a_missing_checkpoint_is_the_only_problem() -> None:
    (only,) = check_task(make(checkpoint="absent.pt"))
    assert "is no file" in only
