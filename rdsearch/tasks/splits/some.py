"""A few examples of a split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rdsearch.errors import TaskError
from rdsearch.tasks.splits.base import Batch, Device, Split


def some_of(split: Split, count: int) -> Split:
    """So many examples of a split, evenly spread; the first ones of a split that can only be iterated."""
    if len(split) <= count:
        return split
    try:
        return split.subset(np.linspace(0, len(split) - 1, count).astype(np.int64))
    except TaskError:
        return Beginning(split, count)


class Beginning:
    """The first batches of a split that has no subsets, with about so many examples."""

    def __init__(self, split: Split, count: int) -> None:
        self._split, self._count = split, count

    def __len__(self) -> int:
        return self._count

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._split, name)

    def batches(
        self,
        batch_size: int,
        *,
        device: Device = "cpu",
        generator: np.random.Generator | None = None,
        augment: bool = False,
    ) -> Iterator[Batch]:
        """The first batches, until there are enough examples; see :class:`~rdsearch.tasks.splits.base.Split`."""
        left = self._count
        for inputs, targets in self._split.batches(batch_size, device=device, generator=generator, augment=augment):
            yield inputs, targets
            left -= len(targets)
            if left <= 0:
                return
