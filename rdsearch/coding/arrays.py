"""Integer tensors to bytes and back, losslessly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rdsearch.errors import QuantizationError

_INT32 = np.iinfo(np.int32)


def encode_arrays(arrays: Sequence[np.ndarray]) -> bytes:
    """Code integer tensors into one payload; shapes and names are not part of it.

    The order matters for the size: the model learns from one tensor for the next, so give the tensors in the order
    in which the network runs them. Tensors are read as (output channels, input channels, kernel taps...).

    Args:
        arrays: Integer or boolean tensors of any shape, values within int32.

    Returns:
        The payload; `decode_arrays` with the same shapes gives the tensors back.

    Raises:
        QuantizationError: A tensor is not of integers, or a value lies outside int32.
    """
    from rdsearch.coding.segments import encode_tensors

    return encode_tensors([checked(array, index) for index, array in enumerate(arrays)])


def decode_arrays(data: bytes, shapes: Sequence[tuple[int, ...]]) -> list[NDArray[np.int32]]:
    """Decode what `encode_arrays` made.

    Args:
        data: The payload.
        shapes: Shapes of the tensors, in the order in which they were encoded.

    Returns:
        One int32 array a shape, C-ordered; one of zeros alone is a read-only view that takes no memory, whatever its
        shape.

    Raises:
        FileFormatError: The payload is damaged, or does not fit the shapes. Not all damage shows: a payload carries
            no checksum, its container does.
    """
    from rdsearch.coding.segments import decode_tensors

    return [array if is_void(array) else array.astype(np.int32, copy=False) for array in decode_tensors(data, shapes)]


def is_void(array: np.ndarray) -> bool:
    """Whether the array is one zero seen many times: what `decode_arrays` gives for a tensor of zeros alone."""
    return array.size > 1 and not any(array.strides) and not array[(0,) * array.ndim]


def narrowed(levels: np.ndarray) -> np.ndarray:
    """Levels in the narrowest type that holds them and their negatives: most networks' take a byte."""
    if not levels.size:
        return levels
    kind = np.min_scalar_type(-1 - max(int(levels.max()), -int(levels.min())))
    return levels.astype(kind) if kind.itemsize < levels.itemsize else levels


def checked(array: np.ndarray, index: int) -> np.ndarray:
    """``array`` as it is, once it is known to hold integers within int32.

    Raises:
        QuantizationError: See `encode_arrays`.
    """
    array = np.asarray(array)
    if array.dtype.kind not in "iub":
        raise QuantizationError(
            f"tensor {index} is {array.dtype}; the codec takes integers: quantise it first (np.int32)"
        )
    if array.size and (int(array.max()) > _INT32.max or int(array.min()) < _INT32.min):
        raise QuantizationError(
            f"tensor {index} has levels from {int(array.min())} to {int(array.max())}; the codec takes "
            "int32: use a larger step"
        )
    return array
