"""That what is shipped does what the search measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.base.network.modes import outputs_of
from rdsearch.base.randomness import isolated_rng
from rdsearch.errors import RdsearchError
from rdsearch.shipping.predict import prepare
from rdsearch.tasks.splits import ArraySplit, Split
from rdsearch.tasks.task import Task

EXAMPLES = 8
"""That outputs are compared on."""

ACCURACY_TOLERANCE, EXAMPLES_TOLERANCE = 1e-3, 2
"""Between two runtimes an accuracy may differ by so much, or so many examples: sums in another order turn near ties."""

SCORE_TOLERANCE = 1e-3
"""Between two scores that are no accuracies, of the larger one."""


def example_of(split: Split) -> Any:
    """The first inputs of a split, on the CPU, as the network takes them."""
    return next(iter(split.batches(EXAMPLES)))[0]


def same_score(task: Task, first: float, second: float) -> bool:
    """Whether two scores on the validation part are one, but for the order of sums."""
    if task.is_accuracy:
        allowed = max(ACCURACY_TOLERANCE, EXAMPLES_TOLERANCE / len(task.validation))
    else:
        allowed = SCORE_TOLERANCE * max(abs(first), abs(second))
    return abs(first - second) <= allowed + 1e-9


def score_on_cpu(task: Task, network: nn.Module) -> float:
    """The validation score of whatever runs as a module on the CPU."""
    with isolated_rng(0):
        return task.score(network)


def check_same_outputs(network: nn.Module, other: nn.Module, example: Any) -> None:
    """Compare two networks on a batch, bit by bit.

    Raises:
        RdsearchError: They differ.
    """
    with torch.no_grad():
        outputs = [outputs_of(each, example) for each in (network, other)]
    if not all(torch.equal(first, second) for first, second in zip(*outputs, strict=True)):
        raise RdsearchError("the .safetensors file gives other outputs than the .rdz file that it was made from")


def check_inputs(split: Split, inputs: dict[str, Any], example: Any) -> None:
    """See that ``predict.py`` makes of stored examples what the task makes of them.

    Raises:
        RdsearchError: It does not.
    """
    if not isinstance(split, ArraySplit) or not isinstance(example, Tensor):
        return
    stored = split.stored_inputs[split.rows[: len(example)]]
    if not np.allclose(prepare(stored, inputs, "the data"), example.numpy(), rtol=1e-4, atol=1e-5):
        raise RdsearchError("predict.py would prepare inputs in another way than the task does")
