"""What is wrong with a task, found before a search spends hours on it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.base.blame import blamed
from rdsearch.base.network.inputs import forward
from rdsearch.base.network.outputs import main_output
from rdsearch.base.units import standard_error
from rdsearch.errors import TaskError
from rdsearch.tasks.checks.plausibility import doubts
from rdsearch.tasks.evaluation import is_classification, labels_out_of_range, no_classification
from rdsearch.tasks.splits import ArraySplit, Split
from rdsearch.tasks.splits.some import some_of
from rdsearch.tasks.task import Task
from rdsearch.tasks.weights.state import State, load_state

DETERMINISM_EXAMPLES = 512
"""Validation examples that are scored twice."""

OVERLAP_EXAMPLES = 2_000
"""Examples compared between splits whose data is not in memory; all are where it is."""

OVERLAP_SHARE = 0.01
"""Of one split found in another before it is called an overlap: real data sets hold a few duplicates."""

FEW_EXAMPLES = 100
"""Below this many validation examples one wrong answer is more than a percentage point."""


def examine(task: Task, *, train: bool = True) -> list[str]:
    """What is wrong with a task's network, data and evaluation; see `rdsearch.testing.check_task`."""
    try:
        with blamed("the network cannot be made"):
            network = task.fresh_network()
            state = task.dense_state() if train or task.is_trained else task.initial_state()
            load_state(network, state)
    except TaskError as error:
        return [str(error)]
    problems = list(_weights(task, state))
    for check in (_forward, _evaluation, _plausible):
        found = list(_caught(check(task, network)))
        problems += found
        if found:  # what comes next would fail for the same reason
            break
    return list(dict.fromkeys([*problems, *_few(task), *_caught(_overlap(task))]))


def _caught(problems: Iterator[str]) -> Iterator[str]:
    """Problems, and what a user's code raises on the way to them."""
    try:
        with blamed("the data cannot be read"):
            yield from problems
    except TaskError as error:
        yield str(error)


def _weights(task: Task, state: State) -> Iterator[str]:
    broken = [name for name, array in state.items() if not np.isfinite(array).all()]
    if broken:
        yield f"weights that are not finite: {', '.join(broken)}"
    one, other = task.fresh_network(), task.fresh_network()
    if {id(parameter) for parameter in one.parameters()} & {id(parameter) for parameter in other.parameters()}:
        yield "network() returns the same network every time: it has to make a new one"


def _forward(task: Task, network: nn.Module) -> Iterator[str]:
    inputs, targets = next(iter(task.validation.batches(8)))
    shape = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
    with blamed(f"the network does not take a batch of inputs {shape}"), torch.no_grad():
        output = forward(network, inputs)
    try:
        output = main_output(output) if task.is_accuracy else output
    except TaskError as error:
        yield str(error)
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
    part = some_of(task.validation, DETERMINISM_EXAMPLES)
    with blamed("the evaluation fails"):
        first, second = (task.score(network, split=part) for _ in range(2))
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
        yield (
            f"only {examples} validation examples: at 90 % the standard error is {points:.1f} points; cut more with "
            "task.validation (0.3, or a count), or give a validation split"
        )


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
        split = some_of(split, OVERLAP_EXAMPLES)
    for inputs, _ in split.batches(512):
        rows = inputs.numpy() if isinstance(inputs, Tensor) else np.asarray(_first_tensor(inputs))
        for row in rows:
            yield hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=16).digest()


def _first_tensor(inputs: Any) -> Tensor:
    values = inputs.values() if isinstance(inputs, dict) else inputs
    return next(value for value in values if isinstance(value, Tensor))
