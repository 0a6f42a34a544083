from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

import rdsearch
from rdsearch.errors import TaskError
from rdsearch.tasks import Task
from rdsearch.tasks.checks.classes import cross_entropy
from rdsearch.tasks.splits import Batch
from tests.tasks.helpers import blobs, seeded_network

INPUTS, LABELS = blobs()
RECIPE = {"pruning": {"rounds": 1, "rate": 0.01}, "quantization": {"step": 0.01}, "retrain": {"epochs": 1}}


def error(network: nn.Module, batches: Iterable[Batch]) -> float:
    return float(np.mean([(network(inputs) - targets).square().mean().item() for inputs, targets in batches]))


def mean_loss(network: nn.Module, batches: Iterable[Batch]) -> float:
    return float(np.mean([cross_entropy(network(inputs), targets).item() for inputs, targets in batches]))


def squares(output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (output - targets).square().mean()


def regression(**changes: Any) -> Task:
    network = seeded_network().eval()
    with torch.no_grad():
        values = network(torch.from_numpy(INPUTS)).numpy()
    return Task(
        **{"network": network, "train": (INPUTS, values), "evaluate": error, "direction": "minimize", **changes}
    )


def test_a_score_of_its_own_without_a_loss_is_not_retrained_and_this_is_said() -> None:
    task = regression()
    assert task.loss is None
    (note,) = task.notes
    assert note.startswith("there is no loss, and the targets are no classes of the network's outputs")
    with pytest.warns(UserWarning, match="the network is not retrained; give loss= for that"):
        (point,) = rdsearch.compress(task, RECIPE)
    (untrained,) = rdsearch.compress(regression(loss=squares), {**RECIPE, "retrain": {"epochs": 0}})
    assert point.data == untrained.data
    assert point.val_accuracy > -0.01


def test_gradual_pruning_needs_a_loss_and_levels_learn_without_one() -> None:
    levels = {"quantization": {"step": 0.01, "training": {"epochs": 1}}}
    with pytest.warns(UserWarning, match="not retrained"):
        (trained,) = rdsearch.compress(regression(), {**RECIPE, **levels})
    with pytest.warns(UserWarning, match="not retrained"):
        (plain,) = rdsearch.compress(regression(), RECIPE)
    with pytest.warns(UserWarning, match="not retrained"):
        (gradual,) = rdsearch.compress(regression(), {**RECIPE, "pruning": {**RECIPE["pruning"], "gradual": 0.5}})
    assert plain.data == gradual.data
    assert trained.data != plain.data  # its levels learn from the float network


def test_a_score_of_its_own_on_classes_is_retrained_by_cross_entropy() -> None:
    task = regression(train=blobs(), evaluate=mean_loss)
    assert task.loss is cross_entropy
    assert task.notes == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(rdsearch.compress(task, RECIPE))


def test_a_loss_of_its_own_is_always_used() -> None:
    assert regression(loss=squares).loss is squares


def test_there_is_no_training_from_nothing_without_a_loss() -> None:
    task = regression(network=seeded_network)
    with pytest.raises(TaskError, match="nothing to train it by: evaluate= is no loss"):
        task.dense_state()
    assert regression(network=seeded_network, training={"epochs": 0}).dense_state()


def one_output() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))


def broken(column: int = 1) -> np.ndarray:
    inputs = INPUTS.copy()
    inputs[:, column] = np.nan
    return inputs


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": one_output()}, "of one output the largest is always the same; give a score of your own"),
        (
            {"train": (INPUTS, LABELS + 1)},
            "train: labels go from 1 to 3, the network has 3 outputs: allowed are 0 to 2",
        ),
        ({"validation": (INPUTS, LABELS - 1)}, "validation: labels go from -1 to 1"),
        ({"train": (broken(), LABELS)}, "train: inputs are NaN or infinite in 8 of the first 8 examples"),
        ({"train": (INPUTS[:, :3], LABELS)}, r"does not take its inputs, a batch of which is \(8, 3\)"),
        ({"train": (INPUTS, LABELS.astype(np.float32))}, r"targets float32 \(8,\): accuracy takes logits"),
    ],
)
@pytest.mark.parametrize("trained", [True, False])
def test_a_network_and_data_that_do_not_fit_are_refused_before_any_work(
    changes: dict[str, Any], said: str, trained: bool
) -> None:
    made = {"network": seeded_network(), "train": (INPUTS, LABELS), **changes}
    network = made.pop("network")
    task = Task(network=network if trained else lambda: network, training={"epochs": 1}, **made)
    with pytest.raises(TaskError, match=said):
        list(rdsearch.compress(task, {**RECIPE, "retrain": {"epochs": 0}}))


def test_a_label_or_a_nan_that_a_few_examples_do_not_show_is_met_by_the_score() -> None:
    inputs, labels = INPUTS.copy(), LABELS.copy()
    inputs[200, 0] = np.nan
    task = Task(network=seeded_network(), train=(INPUTS, labels), validation=(inputs, labels))
    with pytest.raises(TaskError, match="output is not a number for 1 of 240 examples: look for NaN in the inputs"):
        task.dense_score  # noqa: B018
    labels[200] = 7
    task = Task(network=seeded_network(), train=blobs(), validation=(INPUTS, labels))
    with pytest.raises(TaskError, match="1 of 240 labels are none of the network's outputs"):
        task.dense_score  # noqa: B018


class Pairs(Dataset[tuple[Any, Any]]):
    def __init__(self, targets: Sequence[Any]) -> None:
        self.kept = targets

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return INPUTS[index], self.kept[index]


@pytest.mark.parametrize("form", ["int32", "one-hot", "column"])
def test_a_dataset_may_give_labels_in_any_form(form: str) -> None:
    forms = {"int32": LABELS.astype(np.int32), "one-hot": np.eye(3)[LABELS], "column": LABELS[:, None]}
    files = [
        [point.data for point in rdsearch.compress(Task(network=seeded_network(), train=Pairs(given)), RECIPE)]
        for given in (LABELS, forms[form])
    ]
    assert files[0] == files[1]


def test_a_dataset_that_gives_words_is_refused() -> None:
    task = Task(network=seeded_network(), train=Pairs([("cat", "dog", "emu")[label] for label in LABELS]))
    with pytest.raises(TaskError, match=r"targets words such as '\w+': accuracy takes .*positions among the outputs"):
        list(rdsearch.compress(task, RECIPE))


def test_a_class_for_each_position_is_no_accuracy_but_can_be_retrained() -> None:
    data = np.zeros((20, 3, 4, 4), np.float32), np.zeros((20, 4, 4), np.int64)
    with pytest.raises(TaskError, match="accuracy takes logits"):
        Task(network=nn.Conv2d(3, 5, 1), train=data).check_fit()
    assert Task(network=nn.Conv2d(3, 5, 1), train=data, evaluate=mean_loss).loss is cross_entropy


@pytest.mark.parametrize("form", ["one-hot", "column", "int32", "booleans"])
def test_labels_in_any_form_give_the_same_file(form: str) -> None:
    forms = {
        "one-hot": np.eye(3, dtype=np.float32)[LABELS],
        "column": LABELS[:, None],
        "int32": LABELS.astype(">i4"),
        "booleans": np.eye(3, dtype=bool)[LABELS],
    }
    files = [
        [
            point.data
            for point in rdsearch.compress(
                Task(network=seeded_network(), train=(INPUTS, y), validation=blobs()), RECIPE
            )
        ]
        for y in (LABELS, forms[form])
    ]
    assert files[0] == files[1]
