"""From whatever holds a user's examples to a split."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from rdsearch.errors import TaskError
from rdsearch.tasks.splits.array import ArraySplit
from rdsearch.tasks.splits.base import Split
from rdsearch.tasks.splits.loader import LoaderSplit

SplitLike = Split | Dataset[Any] | DataLoader[Any] | tuple[Any, Any]
"""A split, a torch Dataset or DataLoader, or a pair (inputs, targets) of numpy arrays or tensors."""

PAIR = 2


def _array(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def as_split(data: Any, role: str = "data") -> Split:
    """Make a split of ``data``.

    Args:
        data: One of :data:`SplitLike`.
        role: What it is (``"train"``), for messages.

    Raises:
        TaskError: It is none of these, or it is empty or broken.
    """
    try:
        if isinstance(data, TensorDataset) and len(data.tensors) == PAIR:
            return ArraySplit(*map(_array, data.tensors))
        if isinstance(data, (Dataset, DataLoader)):
            return LoaderSplit(data)
        if isinstance(data, (tuple, list)) and len(data) == PAIR:
            return ArraySplit(*map(_array, data))
        if isinstance(data, Split):
            return data
    except TaskError as error:
        raise TaskError(f"{role}: {error}") from None
    raise TaskError(
        f"{role} is a {type(data).__name__}: give a torch Dataset, a DataLoader, or a pair (inputs, targets) of arrays"
    )
