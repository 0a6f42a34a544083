"""From whatever holds a user's examples to a split."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
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
    """A numpy array of the very same numbers, where there is one.

    Raises:
        TaskError: Examples of different shapes, or something other than numbers.
    """
    if isinstance(values, (list, tuple)) and values and all(isinstance(entry, Tensor) for entry in values):
        try:
            return _array(torch.stack(list(values)))
        except RuntimeError as error:
            raise TaskError(_RAGGED.format(error)) from None
    if isinstance(values, Tensor):
        return _from_tensor(values)
    if np.ma.is_masked(values):
        raise TaskError("a masked array is given, some of whose entries have no value: fill them, or leave them out")
    try:
        array = np.asarray(values)
        # pandas and lists of arrays give arrays of Python objects, which hold numbers as a rule.
        return np.array(array.tolist()) if array.dtype == object and array.ndim else array
    except (ValueError, TypeError, RuntimeError) as error:
        raise TaskError(_RAGGED.format(error)) from None


_RAGGED = (
    "examples do not make one array ({}): give a pair (inputs, targets) in which all examples have one shape, or a "
    "DataLoader with a collate_fn that joins them"
)


def _from_tensor(tensor: Tensor) -> np.ndarray:
    kind = "sparse" if tensor.layout != torch.strided else "quantised" if tensor.is_quantized else None
    if kind or tensor.is_nested or tensor.is_meta:
        raise TaskError(
            f"a {kind or ('nested' if tensor.is_nested else 'meta')} tensor is given: give a dense one with values, "
            "such as tensor.to_dense() or tensor.dequantize()"
        )
    tensor = tensor.detach().cpu()
    # numpy knows no bfloat16; every kind of float is read as float32.
    return (tensor.float() if tensor.is_floating_point() else tensor.resolve_conj().resolve_neg()).numpy()


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
