from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

import rdsearch
from rdsearch.compression.kind import kind_of, with_quantizer
from rdsearch.compression.measure import measure_baseline
from rdsearch.compression.rehearsal import rehearse, samples_of, shortened
from rdsearch.config.recipe import Recipe
from rdsearch.config.space import parse_space
from rdsearch.errors import TaskError
from rdsearch.tasks.task import Task
from tests.tasks.helpers import blobs, seeded_network

SPACE = {"recipe": {"pruning": {"rounds": 2, "rate": {"float": [0.2, 0.5]}}}, "search": {"trials": 2}}


def make(**changes: Any) -> Task:
    settings: dict[str, Any] = {"network": seeded_network(), "train": blobs(600), "validation": blobs(120, seed=4)}
    return Task(**{**settings, **changes})


def recipe(**sections: Any) -> Recipe:
    return Recipe.model_validate(sections)


def test_a_sound_task_has_nothing_to_say() -> None:
    assert rehearse(make(), [Recipe()]) == []


def test_a_size_that_a_file_can_have_is_no_mistake_and_one_above_the_dense_networks_is() -> None:
    sizes = [
        recipe(quantization={"training": {"epochs": 1, "target_bytes": measure_baseline(make()).size_bytes + more}})
        for more in (0, 1)
    ]
    assert rehearse(make(), sizes[:1]) == []
    (said,) = rehearse(make(), sizes)
    assert "the dense network takes" in said


class Forgetful(nn.Module):
    """Fails as it is told to: in training mode only, or when it is run backwards."""

    def __init__(self, fails: str) -> None:
        super().__init__()
        self.body, self.fails = seeded_network(), fails

    def forward(self, inputs: Tensor) -> Tensor:
        if self.fails == "training" and self.training:
            raise RuntimeError("no mask for training")
        out = self.body(inputs)
        return out.detach() if self.fails == "backward" and self.training else out


def broken_loss(output: Tensor, targets: Tensor) -> Tensor:
    return output[:, targets.max() + 7].sum()


def broken_score(network: nn.Module, batches: Any) -> float:
    return next(iter(batches))[2]


class Unreadable(Dataset[Any]):
    """Two examples can be read, and no others."""

    def __len__(self) -> int:
        return 600

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index > 1:
            raise OSError(f"no image {index}")
        return torch.zeros(4), index


def sparse() -> dict[str, Any]:
    """A task whose gradients no usual optimiser takes a step by."""
    network = nn.Sequential(nn.EmbeddingBag(50, 8, sparse=True, mode="mean"), nn.Linear(8, 3))
    words = np.random.default_rng(0).integers(0, 50, (600, 5))
    return {"network": network, "train": (words, words[:, 0] % 3), "validation": (words[:120], words[:120, 0] % 3)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"network": Forgetful("training")}, r"RuntimeError: no mask for training \(.*test_rehearsal.py:\d+\)"),
        ({"network": Forgetful("backward")}, r"RuntimeError: element 0 of tensors does not require grad"),
        ({"loss": broken_loss}, r"IndexError: index 9 is out of bounds .*\(.*test_rehearsal.py:\d+\)"),
        ({"evaluate": broken_score}, r"IndexError: tuple index out of range \(.*test_rehearsal.py:\d+\)"),
        (sparse(), r"RuntimeError: .*sparse"),
    ],
)
def test_what_a_users_code_raises_is_a_sentence_with_the_place(change: dict[str, Any], said: str) -> None:
    (only,) = rehearse(make(**change), [Recipe()])
    assert only.startswith("one round on a few examples fails: ")
    assert len(only.splitlines()) == 1
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(only)


def test_data_that_cannot_be_read_on_is_a_sentence_with_the_place() -> None:
    (only,) = rehearse(make(train=Unreadable()), [Recipe()])
    with pytest.raises(AssertionError, match=r"OSError: no image \d+ \(.*test_rehearsal.py:\d+\)"):
        raise AssertionError(only)


def test_all_patterns_that_match_nothing_are_named_at_once() -> None:
    found = rehearse(
        make(),
        [
            recipe(
                pruning={"skip": ["conv*"], "budgets": {"nolayer*": 0.5, "0*": 2.0}},
                quantization={"plain": ["head*"], "step_multipliers": {"body*": 2.0}},
            )
        ],
    )
    patterns = ("'head*'", "'body*'", "'conv*'", "'nolayer*'")
    assert len(found) == len(patterns)
    for pattern in patterns:
        assert any(f"pattern {pattern} matches no layer" in sentence for sentence in found)


def test_a_score_that_needs_more_examples_than_there_are_is_taken_on_all() -> None:
    def strict(network: nn.Module, batches: Any) -> float:
        count = sum(len(targets) for _, targets in batches)
        if count < 100:
            raise ValueError(f"{count} examples are too few")
        return 0.5

    assert rehearse(make(evaluate=strict), [recipe(retrain={"batch_size": 8})]) == []


def test_only_a_few_training_examples_are_read() -> None:
    class Counted(IterableDataset[Any]):
        read = 0

        def __len__(self) -> int:
            return 600

        def __iter__(self) -> Iterator[Any]:
            for inputs, label in zip(*blobs(600), strict=True):
                Counted.read += 1
                yield torch.from_numpy(inputs), int(label)

    task = make(train=DataLoader(Counted(), batch_size=8))
    Counted.read = 0
    assert rehearse(task, [recipe(retrain={"batch_size": 8})]) == []
    assert 0 < Counted.read < 200


def test_the_rehearsal_changes_no_weight_and_no_random_state() -> None:
    task = make()
    before, state = {name: array.copy() for name, array in task.dense_state().items()}, torch.get_rng_state()
    assert rehearse(task, [Recipe()]) == []
    assert all(np.array_equal(array, task.dense_state()[name]) for name, array in before.items())
    assert torch.equal(state, torch.get_rng_state())


def test_every_choice_of_a_space_is_tried_out() -> None:
    tree = {"pruning": {"method": {"choice": ["global", "lamp", "surp"]}}, "retrain": {"epochs": {"int": [0, 2]}}}
    space, _ = parse_space(tree, "s")
    samples = samples_of(space)
    assert [sample.pruning.method for sample in samples] == ["global", "lamp", "surp"]
    assert {shortened(sample).retrain.epochs for sample in samples} == {1.0}


def test_a_mistake_that_was_mended_can_be_run_with_the_same_folder(tmp_path: Path, quiet: Callable[..., Any]) -> None:
    out = tmp_path / "out"
    with pytest.raises(TaskError, match=r"no mask for training \(.*test_rehearsal.py:\d+\)"):
        quiet(SPACE, task=make(network=Forgetful("training")), out=out)
    assert not out.exists()
    assert len(quiet(SPACE, task=make(), out=out)) >= 0
    assert (out / "manifest.json").exists()


@pytest.fixture
def quiet() -> Callable[..., Any]:
    from rich.console import Console

    def search(*arguments: Any, **options: Any) -> Any:
        return rdsearch.search(*arguments, **options, console=Console(quiet=True))

    return search


def test_the_quantiser_that_suits_the_network_is_chosen_where_none_is_given() -> None:
    assert with_quantizer(Recipe(), make()).quantization.method == "sequential"
    assert with_quantizer(recipe(quantization={"dead_zone": 1.5}), make()).quantization.method == "uniform"
    given = recipe(quantization={"method": "rate_aware"})
    assert with_quantizer(given, make()) == given
    assert with_quantizer(recipe(quantization={"step": 0.7}), make()).quantization.step == 0.7


def test_the_kind_of_a_task_is_that_of_its_score_and_targets() -> None:
    inputs, _ = blobs(200)
    values = inputs[:, :1]
    regression = make(
        network=nn.Linear(4, 1), train=(inputs, values), validation=(inputs, values), evaluate=broken_score
    )
    assert (kind_of(make()).accuracy, kind_of(make()).trains) == (True, True)
    kind = kind_of(regression, look=False)
    assert (kind.accuracy, kind.trains, kind.parameters) == (False, False, 5)


class Wide(nn.Module):
    """Many numbers of an example on the way."""

    def __init__(self, normalised: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 64), nn.BatchNorm1d(64) if normalised else nn.Identity())
        self.spread, self.head = nn.Upsample(scale_factor=2**13), nn.Linear(64, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        wide = self.spread(self.body(inputs).unsqueeze(1))
        return self.head(wide.mean(1).unflatten(1, (64, -1)).mean(2))


@pytest.mark.parametrize(
    ("quantization", "normalised", "count"),
    [
        ({}, False, 256),
        ({"method": "hessian"}, False, 256),
        ({"method": "hessian", "calibration": 600}, False, 600),
        ({"method": "uniform"}, True, 256),
        ({"method": "uniform"}, False, 1024),  # nothing looks at any
        ({"method": "uniform", "reestimate_batchnorm": False}, True, 1024),
    ],
)
def test_fewer_inputs_are_looked_at_where_what_a_layer_gives_is_large(
    quantization: dict[str, Any], normalised: bool, count: int
) -> None:
    task = make(network=Wide(normalised))
    assert kind_of(task, look=False).largest_output == 64 * 2**13
    assert with_quantizer(recipe(quantization=quantization), task).quantization.calibration == count
