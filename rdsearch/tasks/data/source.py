"""What a data set hands over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rdsearch.tasks.splits import Split


@dataclass(frozen=True)
class DataSource:
    """A data set whose test split is not read before it is asked for.

    Attributes:
        train: The training split, whole.
        test: Reads the test split; ``None`` where there is none.
        classes: Number of classes, where the targets are classes.
        validation: A validation split of the data set's own; ``None`` where it is to be cut from ``train``.
    """

    train: Split
    test: Callable[[], Split] | None
    classes: int | None
    validation: Split | None = None
