"""The figures of the dense network, and of a file by its own bytes alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from rdsearch.base.device import choose_device
from rdsearch.base.network.computed import fold_computed
from rdsearch.base.randomness import isolated_rng
from rdsearch.compression.loading import decode, fill, load, read_file
from rdsearch.errors import TrialError
from rdsearch.points.point import OperatingPoint
from rdsearch.tasks.splits import Split
from rdsearch.tasks.task import Task
from rdsearch.tasks.weights.state import load_state
from rdsearch.tasks.weights.template import blank

FLOAT32_BYTES = 4


@dataclass(frozen=True, slots=True)
class Baseline:
    """The dense network that every operating point is compared with.

    Attributes:
        accuracy: Its validation score.
        size_bytes: Its float32 parameters and running statistics.
    """

    accuracy: float
    size_bytes: int


def measure_baseline(task: Task, device: str | torch.device = "cpu") -> Baseline:
    """Evaluate the dense network on the validation part."""
    state = task.dense_state()
    network = dense_network(task)
    size = sum(array.size for array in state.values() if array.dtype.kind == "f") * FLOAT32_BYTES
    return Baseline(_score(task, network, device), size)


def unscored_baseline(task: Task) -> Baseline:
    """The dense network's size, and an accuracy of 0: for trials whose score does not matter. Nothing is trained."""
    values = task.fresh_network().state_dict().values()
    return Baseline(0.0, sum(value.numel() for value in values if value.is_floating_point()) * FLOAT32_BYTES)


def _score(task: Task, network: nn.Module, device: str | torch.device, split: Split | None = None) -> float:
    """The same each time, whatever the network draws at random."""
    with isolated_rng(0):
        return task.score(network.to(device), device=device, split=split)


@dataclass(frozen=True, slots=True)
class FileScore:
    """What a file does, decoded.

    Attributes:
        size_bytes: ``len(file)``.
        score: Of the decoded network.
        examples: It was scored on so many.
        text: The score in words, with the part that it was measured on and its standard error.
    """

    size_bytes: int
    score: float
    examples: int
    text: str


def score_file(task: Task, path_or_bytes: str | Path | bytes, *, test: bool = False) -> FileScore:
    """Score a file on a task's validation part, on a GPU where there is one.

    Args:
        task: Its network is filled from the file, its data scores it.
        path_or_bytes: A ``.rdz`` file's path, or its bytes.
        test: Read the test split, and score on that instead.

    Raises:
        FileFormatError: The file cannot be read, or holds another network.
        TaskError: The task has no test split.
    """
    data = read_file(path_or_bytes)
    network = load(path_or_bytes, into=task.fresh_network())
    split = task.test_split() if test else task.validation
    score = _score(task, network, choose_device(), split)
    part = "test" if test else "validation"
    return FileScore(len(data), score, len(split), task.score_text(score, part=part, examples=len(split)))


def measure(task: Task, data: bytes, baseline: Baseline, device: torch.device) -> OperatingPoint:
    """The figures of a file, from its own bytes alone; round and seconds are filled in by the caller.

    Sparsity and rate are of all weights of the network, whether pruning may remove them or not.
    """
    file = decode(data)
    network = task.fresh_network()
    fill(network, file)
    score = _score(task, network, device)
    if not np.isfinite(score):
        raise TrialError(f"the decoded network scores {score} on the validation part; the score must be a number")
    count = file.layout.weight_count
    survivors = sum(int(np.count_nonzero(levels)) for levels, _ in file.weights.values())
    return OperatingPoint(
        size_bytes=len(data),
        val_accuracy=score,
        accuracy_drop=baseline.accuracy - score,
        compression_ratio=baseline.size_bytes / len(data),
        sparsity=1.0 - survivors / count if count else 0.0,
        rate_bits_per_weight=8 * len(data) / max(1, count),
        seconds=0.0,
        round=0,
        data=data,
    )


def dense_network(task: Task, state: Mapping[str, np.ndarray] | None = None) -> nn.Module:
    """A fresh network of the task with its dense weights, or with those of ``state``; see `plain_network`.

    What is computed at every call (weight norm, spectral norm) is folded, and so it is in ``state``.
    """
    if state is None:
        network = task.fresh_network()
        load_state(network, task.dense_state())
        return fold_computed(network)
    network = plain_network(task)
    load_state(network, state)
    return network


def plain_network(task: Task) -> nn.Module:
    """A fresh network of the task, all of its weights zero, without weight norm, spectral norm and the like."""
    return blank(fold_computed(task.fresh_network()))
