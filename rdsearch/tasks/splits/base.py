"""What every part of a data set can do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

Batch = tuple[Any, Tensor]
"""Inputs (a tensor as a rule; a tuple or mapping of tensors for networks with several) and targets."""

Device = torch.device | str


@runtime_checkable
class Split(Protocol):
    """A part of a data set: a fixed list of examples, read batch by batch."""

    def __len__(self) -> int:
        """Number of examples."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of the content, hex: the same examples in the same order give the same one."""
        ...

    @property
    def labels(self) -> np.ndarray | None:
        """Class of each example, (n,) int64; ``None`` where the targets are not classes or are not known."""
        ...

    @property
    def example_numbers(self) -> int:
        """Numbers in the inputs of one example."""
        ...

    def batches(
        self,
        batch_size: int,
        *,
        device: Device = "cpu",
        generator: np.random.Generator | None = None,
        augment: bool = False,
    ) -> Iterator[Batch]:
        """Yield all examples once, on ``device``, the last batch possibly smaller.

        Args:
            batch_size: Examples in a batch.
            device: Where the tensors go.
            generator: Shuffles, and draws the augmentation; without it the order is the split's own and
                every pass is the same.
            augment: Apply the data set's augmentation, where it has one.
        """
        ...

    def subset(self, indices: np.ndarray) -> Split:
        """The examples at ``indices`` (positions in this split, (m,) int64), in that order."""
        ...
