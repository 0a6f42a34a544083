from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rdsearch.compression.loading import decode, load
from rdsearch.compression.rounds import compress, rounds
from rdsearch.compression.target import smallest_file
from rdsearch.config.recipe import Recipe
from rdsearch.errors import ConfigError, QuantizationError, RdsearchError, TaskError
from rdsearch.points.point import OperatingPoint
from rdsearch.retraining.rate.draft import Draft
from rdsearch.tasks.loading import load_task
from rdsearch.tasks.settings import TaskConfig, TrainingConfig
from rdsearch.tasks.task import Task
from tests.tasks.helpers import blobs, seeded_network


@pytest.fixture(scope="module")
def task() -> Task:
    return Task(
        network=seeded_network,
        train=blobs(600),
        validation=120,
        training=TrainingConfig(epochs=6, lr=0.02, batch_size=32),
    )


@pytest.fixture(scope="module")
def digits() -> Task:
    return load_task(TaskConfig(network="digits_cnn", dataset="digits", validation=360))


def tree(epochs: float = 6, *, training: dict[str, Any] | None = None, **quantization: Any) -> dict[str, Any]:
    settings = {"epochs": epochs, "lr": 0.05, "batch_size": 32, **(training or {})}
    return {
        "pruning": {"rounds": 1, "rate": 0},
        "retrain": {"epochs": 0},
        "quantization": {"method": "uniform", "step": 2.5, "bias_bits": 4, **quantization, "training": settings},
    }


def one(task: Task, recipe: dict[str, Any], **options: Any) -> OperatingPoint:
    return next(iter(compress(task, recipe, device="cpu", **options)))


@pytest.mark.parametrize(("target", "epochs", "sparsity"), [(1000, 6, 0.94), (2000, 10, 0.85)])
def test_a_file_is_trained_to_just_below_its_target_and_does_its_job(
    digits: Task, target: int, epochs: int, sparsity: float
) -> None:
    """Out of a network that was never pruned."""
    recipe = tree(epochs, training={"target_bytes": target, "lr": 0.04}, step=1.6, granularity="tensor", bias_bits=5)
    point = one(digits, recipe)
    assert 0.985 * target <= point.size_bytes <= target
    assert point.accuracy_drop < 0.05
    assert point.sparsity > sparsity


def test_without_a_target_the_file_keeps_its_size_and_gains_accuracy(task: Task) -> None:
    plain, trained = (one(task, tree(epochs) | {"pruning": {"rounds": 1, "rate": 0.3}}) for epochs in (0, 30))
    assert plain.accuracy_drop > 0.05
    assert trained.accuracy_drop < plain.accuracy_drop / 2
    assert trained.size_bytes <= plain.size_bytes


def test_a_higher_price_gives_a_smaller_file(task: Task) -> None:
    weak, strong = (one(task, tree(step=0.5, training={"rate_weight": weight})) for weight in (0.01, 3.0))
    assert strong.size_bytes < weak.size_bytes


@pytest.mark.parametrize("method", ["uniform", "sequential"])
def test_it_begins_at_the_levels_of_every_method_and_leaves_the_float_network_alone(task: Task, method: str) -> None:
    recipes = [Recipe.model_validate(tree(epochs, method=method, step=1.0)) for epochs in (0, 1)]
    (plain, before), (trained, after) = (next(iter(rounds(task, recipe, device="cpu"))) for recipe in recipes)
    assert plain.data != trained.data
    for name, array in before.state.items():
        np.testing.assert_array_equal(array, after.state[name])


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(task: Task) -> None:
    first, second, other = (one(task, tree(), seed=seed) for seed in (3, 3, 4))
    assert first.data == second.data != other.data


class Stop(Exception):
    pass


@pytest.mark.parametrize("saves", [1, 3])
def test_an_interrupted_training_goes_on_to_the_same_bytes(digits: Task, tmp_path: Path, saves: int) -> None:
    """Before normalisation is held, and after channels have been cut out."""
    recipe = Recipe.model_validate(
        tree(2, training={"target_bytes": 1200, "augmentation": 0.5, "batch_size": 128}, step=1.6)
    )
    file = tmp_path / "draft"

    def drafts(left: int) -> Iterator[Draft]:
        def write(data: bytes) -> None:
            nonlocal left
            file.write_bytes(data)
            left -= 1
            if left == 0:
                raise Stop

        yield Draft(lambda: file.read_bytes() if file.exists() else None, write, seconds=0.0)

    stopping, going_on = next(drafts(4 * saves)), next(drafts(-1))
    with pytest.raises(Stop):
        next(iter(rounds(digits, recipe, device="cpu", drafts=lambda _: stopping)))
    resumed, _ = next(iter(rounds(digits, recipe, device="cpu", drafts=lambda _: going_on)))
    assert resumed.data == one(digits, recipe.as_dict()).data


def test_a_damaged_draft_is_passed_over(task: Task) -> None:
    recipe = Recipe.model_validate(tree(1))
    draft = Draft(lambda: b"no draft", lambda _: None)
    point, _ = next(iter(rounds(task, recipe, device="cpu", drafts=lambda _: draft)))
    assert point.data == one(task, tree(1)).data


def test_a_file_of_trained_levels_may_have_quality_layers(task: Task) -> None:
    single, layered = (one(task, tree(1, step=0.2, quality_layers=layers)).data or b"" for layers in (1, 3))
    assert decode(layered).refinements == 3
    for name, value in load(single).items():
        assert torch.equal(load(layered)[name], value)


def test_folded_normalisation_stays_folded(task: Task) -> None:
    data = one(task, tree(2, fold_batchnorm=True, reestimate_batchnorm=False)).data or b""
    assert np.isin(decode(data).vectors["1.scale"][0], (0, 1)).all()


def test_a_channel_that_nothing_feeds_has_no_huge_scale(digits: Task) -> None:
    file = decode(one(digits, tree(2, training={"target_bytes": 700}, step=1.6)).data or b"")
    for name, (levels, step) in file.vectors.items():
        assert np.abs(levels).max() * step < 100, name


def test_training_that_diverges_is_a_clear_error() -> None:
    steep = Task(
        network=seeded_network(),
        train=blobs(),
        validation=60,
        loss=lambda output, labels: float("inf") * F.cross_entropy(output, labels),
    )
    with pytest.raises(RdsearchError, match="lower"):
        one(steep, tree(2))


@pytest.mark.parametrize(("target", "said"), [(10, "without a single weight"), (10**7, "the dense network takes")])
def test_a_size_that_no_file_can_have_is_refused_before_any_work(task: Task, target: int, said: str) -> None:
    with pytest.raises(
        QuantizationError, match=rf"target_bytes = {target:,}.*{said}.*give from {smallest_file(task) + 1}"
    ):
        one(task, tree(training={"target_bytes": target}) | {"retrain": {"epochs": 10_000}})


def test_a_size_and_a_fixed_price_exclude_each_other(task: Task) -> None:
    with pytest.raises(ConfigError, match="rate_weight: 2 is of no effect beside target_bytes: 500"):
        one(task, tree(training={"target_bytes": 500, "rate_weight": 2.0}))


def test_without_a_loss_the_float_network_teaches() -> None:
    """The targets say nothing; the score is how near the outputs are to the float network's."""
    inputs = blobs(600)[0]
    teacher = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))

    def nearness(student: nn.Module, batches: Any) -> float:
        return -float(np.mean([F.mse_loss(student(given), teacher(given)) for given, _ in batches]))

    silent = Task(network=teacher, train=(inputs, np.zeros(600, np.float32)), validation=120, evaluate=nearness)
    assert silent.loss is None
    with pytest.warns(UserWarning, match="learn from the float network"):
        plain, trained = (one(silent, tree(epochs, step=1.2)) for epochs in (0, 8))
    assert trained.size_bytes <= plain.size_bytes
    assert trained.val_accuracy > 0.75 * plain.val_accuracy  # scores are negative


def test_augmentation_needs_images(task: Task) -> None:
    with pytest.raises(TaskError, match=r"augmentation moves images.*float32 \(\d+, 4\).*augmentation to 0"):
        one(task, tree(1, training={"augmentation": 1.0}))
