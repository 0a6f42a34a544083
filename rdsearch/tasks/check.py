"""What is wrong with a task, found before a search spends hours on it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.base.inputs import forward
from rdsearch.base.outputs import main_output
from rdsearch.base.units import standard_error
from rdsearch.errors import TaskError
from rdsearch.tasks.evaluation import is_classification, labels_out_of_range, no_classification
from rdsearch.tasks.plausibility import doubts
from rdsearch.tasks.splits import ArraySplit, Split
from rdsearch.tasks.state import State, load_state
from rdsearch.tasks.task import Task

DETERMINISM_EXAMPLES = 512
"""Validation examples that are scored twice."""

OVERLAP_EXAMPLES = 2_000
"""Examples compared between splits whose data is not in memory; all are where it is."""

OVERLAP_SHARE = 0.01
"""Of one split found in another before it is called an overlap: real data sets hold a few duplicates."""

FEW_EXAMPLES = 100
"""Below this many validation examples one wrong answer is more than a percentage point."""


def check_task(task: Task, *, train: bool = True) -> list[str]:
    """Try a task out: shapes, labels, evaluation, splits, weights.

    Where the task can reach its test split, that is read to be compared with the others, and not scored.

    Args:
        task: What is to be checked.
        train: Train the baseline when the task has no trained weights; otherwise it is checked with the
            weights that it starts from, and its accuracy is not looked at.

    Returns:
        One sentence for each problem; empty when all is well.
    """
    if not isinstance(task, Task):
        return [f"task is a {type(task).__name__}: give a rdsearch.Task"]
    try:
        network = task.fresh_network()
        state = task.dense_state() if train or task.is_trained else task.initial_state()
        load_state(network, state)
    except TaskError as error:
        return [str(error)]
    problems = list(_weights(task, network, state))
    for check in (_forward, _evaluation, _plausible):
        found = list(check(task, network))
        problems += found
        if found:  # what comes next would fail for the same reason
            break
    return [*problems, *_few(task), *_overlap(task)]


def _weights(task: Task, network: nn.Module, state: State) -> Iterator[str]:
    if not any(parameter.ndim > 1 for parameter in network.parameters()):
        yield "the network has no weight with two axes or more: nothing in it can be pruned"
    broken = [name for name, array in state.items() if not np.isfinite(array).all()]
    if broken:
        yield f"weights that are not finite: {', '.join(broken)}"
    one, other = task.fresh_network(), task.fresh_network()
    if {id(parameter) for parameter in one.parameters()} & {id(parameter) for parameter in other.parameters()}:
        yield "network() returns the same network every time: it has to make a new one"


def _forward(task: Task, network: nn.Module) -> Iterator[str]:
    inputs, targets = next(iter(task.validation.batches(8)))
    try:
        with torch.inference_mode():
            output = forward(network, inputs)
            output = main_output(output) if task.is_accuracy else output
    except TaskError as error:
        yield str(error)
        return
    except (RuntimeError, ValueError, TypeError) as error:
        shape = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
        yield f"the network does not take a batch of inputs {shape}: {error}"
        return
    if isinstance(output, Tensor) and not torch.isfinite(output).all():
        yield "the network's output is not finite"
    if not task.is_accuracy:
        return
    if not is_classification(output, targets):
        yield no_classification(output, targets)
        return
    for role, split in (("train", task.train), ("validation", task.validation)):
        labels = split.labels
        if labels is not None and (labels.min() < 0 or labels.max() >= output.shape[1]):
            yield labels_out_of_range(role, labels, output.shape[1])


def _evaluation(task: Task, network: nn.Module) -> Iterator[str]:
    part = _spread(task.validation, DETERMINISM_EXAMPLES)
    try:
        first, second = (task.score(network, split=part) for _ in range(2))
    except TaskError as error:
        yield str(error)
        return
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        yield f"the evaluation fails: {error}"
        return
    if not math.isfinite(first):
        yield f"the dense network's score is {first}"
    elif first != second:
        yield (
            f"the evaluation is not deterministic: {first} and then {second} on the same {len(part)} examples; draw "
            "nothing at random in it, in the network's eval mode, or in the validation data's transforms"
        )


def _few(task: Task) -> Iterator[str]:
    examples = len(task.validation)
    if task.is_accuracy and examples < FEW_EXAMPLES:
        points = 100 * standard_error(0.9, examples)
        yield f"only {examples} validation examples: at 90 % the standard error is {points:.1f} points; cut more"


def _plausible(task: Task, network: nn.Module) -> Iterator[str]:
    if task.is_trained:
        yield from doubts(task, task.dense_score)


def _overlap(task: Task) -> Iterator[str]:
    splits = {"validation": task.validation, "train": task.train}
    if task.has_test:
        splits["test"] = task.test_split()
    seen = {role: set(_hashes(split)) for role, split in splits.items()}
    for one, other in (("validation", "train"), ("test", "train"), ("test", "validation")):
        if one in seen and other in seen:
            common = len(seen[one] & seen[other])
            if common > OVERLAP_SHARE * len(seen[one]):
                yield f"{common} of {len(seen[one])} {one} examples compared are in the {other} split too"


def _hashes(split: Split) -> Iterator[bytes]:
    if not isinstance(split, ArraySplit):
        split = _spread(split, OVERLAP_EXAMPLES)
    for inputs, _ in split.batches(512):
        rows = inputs.numpy() if isinstance(inputs, Tensor) else np.asarray(_first_tensor(inputs))
        for row in rows:
            yield hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=16).digest()


def _spread(split: Split, count: int) -> Split:
    """So many examples, evenly spread; all of them where there are no more, or where the split cannot be cut."""
    if len(split) <= count:
        return split
    try:
        return split.subset(np.linspace(0, len(split) - 1, count).astype(np.int64))
    except TaskError:
        return split


def _first_tensor(inputs: Any) -> Tensor:
    values = inputs.values() if isinstance(inputs, dict) else inputs
    return next(value for value in values if isinstance(value, Tensor))
