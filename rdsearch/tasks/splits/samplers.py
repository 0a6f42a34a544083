"""Which examples of its Dataset a user's DataLoader reads, and how."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from rdsearch.base.randomness import isolated_rng
from rdsearch.errors import TaskError

KEPT = (
    "collate_fn",
    "num_workers",
    "pin_memory",
    "timeout",
    "worker_init_fn",
    "multiprocessing_context",
    "prefetch_factor",
    "in_order",
)
"""Options of a DataLoader that say how examples are read and joined."""

WAY_OUT = "give the Dataset itself, or torch.utils.data.Subset(dataset, indices) of it"


def loading_options(loader: DataLoader[Any]) -> dict[str, Any]:
    """The options of a user's loader with which passes of another order and batch size are made.

    Raises:
        TaskError: What it gives is not what its Dataset and its collate_fn give.
    """
    if type(loader).__iter__ is not DataLoader.__iter__:
        raise TaskError(
            f"{type(loader).__name__} changes what a DataLoader gives (it has an __iter__ of its own): do that in the "
            "Dataset or in collate_fn, and give a plain DataLoader"
        )
    return {option: getattr(loader, option) for option in KEPT}


def set_aside(loader: DataLoader[Any]) -> list[str]:
    """Options of a user's loader that have no say here, where they are not what they are by default."""
    said = []
    if loader.drop_last:
        said.append("drop_last")
    if loader.generator is not None:
        said.append("generator")
    if loader.persistent_workers:
        said.append("persistent_workers")
    return said


def positions(loader: DataLoader[Any]) -> np.ndarray | None:
    """The examples that a loader's sampler chooses.

    Args:
        loader: Of a Dataset with a length.

    Returns:
        Positions in the Dataset, each once, (m,) int64; ``None`` for all of them in their own order.

    Raises:
        TaskError: It chooses others in each pass, or some more than once, or makes batches of its own.
    """
    dataset: Any = loader.dataset
    sampler = _sampler(loader)
    kind = type(sampler)
    if isinstance(sampler, WeightedRandomSampler):
        raise TaskError(
            f"a WeightedRandomSampler is not followed, here every example is read once in a pass: {WAY_OUT}, and put "
            "the weights of the classes into loss="
        )
    if isinstance(sampler, DistributedSampler):
        raise TaskError(
            f"a {kind.__name__} gives each process another part, and here every trial reads all: leave sampler= out"
        )
    if kind is RandomSampler:
        _check_random(sampler)
    if kind in (RandomSampler, SequentialSampler) and len(sampler.data_source) == len(dataset):
        return None
    if kind is SubsetRandomSampler:
        return _checked(list(sampler.indices), len(dataset), kind.__name__)
    return _of_passes(sampler, len(dataset), kind.__name__)


def _sampler(loader: DataLoader[Any]) -> Any:
    batches = loader.batch_sampler
    if batches is None:
        raise TaskError(
            "a DataLoader with batch_size=None reads batches that its Dataset has made, of which none can be chosen: "
            "give a Dataset of single examples"
        )
    if type(batches) is not BatchSampler:
        raise TaskError(
            f"the batches of a {type(batches).__name__} are not followed, the recipe says how large they are: {WAY_OUT}"
        )
    return batches.sampler


def _check_random(sampler: RandomSampler) -> None:
    if sampler.replacement:
        raise TaskError(
            "a RandomSampler with replacement is not followed, here every example is read once in a pass: leave "
            f"replacement out, or {WAY_OUT}"
        )
    if sampler.num_samples != len(sampler.data_source):
        raise TaskError(
            f"a RandomSampler with num_samples={sampler.num_samples} draws others of its {len(sampler.data_source)} "
            f"examples in each pass: leave num_samples out, or {WAY_OUT}"
        )


def _of_passes(sampler: Any, examples: int, kind: str) -> np.ndarray:
    """What a sampler gives, which has to be the same examples in two passes."""
    generator = getattr(sampler, "generator", None)
    state = generator.get_state() if isinstance(generator, torch.Generator) else None
    passes = []
    for seed in range(2):
        with isolated_rng(seed):
            passes.append(list(islice(iter(sampler), examples + 1)))
    if isinstance(generator, torch.Generator) and state is not None:
        generator.set_state(state)
    first, second = (_checked(drawn, examples, kind) for drawn in passes)
    if not np.array_equal(np.sort(first), np.sort(second)):
        raise TaskError(f"a {kind} chooses other examples in each pass, which is not followed: {WAY_OUT}")
    # Of an order that is drawn anew the Dataset's own is left.
    return first if np.array_equal(first, second) else np.sort(first)


def _checked(drawn: list[Any], examples: int, kind: str) -> np.ndarray:
    try:
        found = np.array([int(index) for index in drawn], dtype=np.int64)
    except (TypeError, ValueError):
        odd = next(index for index in drawn if not isinstance(index, int | np.integer))
        raise TaskError(f"a {kind} gives {odd!r}: positions in the Dataset are needed; {WAY_OUT}") from None
    if len(found) == 0:
        raise TaskError(f"a {kind} gives no example: at least one is needed")
    if found.min() < 0 or found.max() >= examples:
        bad = found[(found < 0) | (found >= examples)][0]
        raise TaskError(f"a {kind} gives position {bad} in a Dataset of {examples}: allowed are 0 to {examples - 1}")
    if len(np.unique(found)) < len(found):
        raise TaskError(f"a {kind} gives some examples more than once in a pass, which is not followed: {WAY_OUT}")
    return found
