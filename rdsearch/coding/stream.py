"""The coder's state between tensors: what the model has learnt, and where the arithmetic coder stands."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rdsearch.coding import kernels, state, tables
from rdsearch.errors import FileFormatError

_BOUND_BYTES = state.CODER_BITS // 8
_PADDING = int.from_bytes(bytes([state.PADDING]) * _BOUND_BYTES, "big")
_HEADER_ROOM = 256
# The cheapest weight takes one bit of probability 1 - FLOOR/65536, 1/2839 of a bit; half of it where bounds are close.
_WEIGHTS_PER_BYTE = 16 * 2839


class _Stream:
    """What encoder and decoder share: the model, the arithmetic coder's bounds, and the bytes."""

    def __init__(self, buffer: NDArray[np.uint8], decoding: bool) -> None:
        self._model = state.Model()
        self._decoding = decoding
        self._buffer = buffer
        self._coder = np.zeros(state.CODER_FIELDS, np.int64)
        self._coder[state.HIGH] = (1 << state.CODER_BITS) - 1

    def _code_header(self, level: int) -> int:
        model = self._model
        level = kernels.code_header(self._decoding, level, model.level, model.state, self._coder, self._buffer)
        model.level = level or model.level
        return level

    def _code_weights(self, values: NDArray[np.int32], level: int) -> int:
        model, shape = self._model, matrix_of_kernels(values.shape)
        row_levels = np.zeros(shape[0], np.int64)
        status, self._buffer = kernels.code_tensor(
            self._decoding,
            values.reshape(-1),
            shape,
            level,
            model.column_priors(shape[1]),
            model.row_priors(shape[0]),
            row_levels,
            model.state,
            self._coder,
            self._buffer,
        )
        model.remember(row_levels)
        return int(status)


class Encoder(_Stream):
    """Codes tensors into one growing payload."""

    def __init__(self) -> None:
        super().__init__(np.empty(1 << 16, np.uint8), decoding=False)

    def put(self, tensor: NDArray[np.int32]) -> None:
        """Code one tensor that has weights: C-ordered, any shape."""
        if int(self._coder[state.AT]) + _HEADER_ROOM > self._buffer.size:
            self._buffer = np.concatenate([self._buffer, np.empty_like(self._buffer)])
        level = _mean_level(tensor, tables.quarter_octaves())
        self._code_header(level)
        if level:
            self._code_weights(tensor, level)

    def finish(self) -> bytes:
        """The payload, ended with the fewest bytes that tell it from every other."""
        low, high = int(self._coder[state.LOW]), int(self._coder[state.HIGH])
        size = value = 0
        for size in range(_BOUND_BYTES + 1):
            unit = 1 << (state.CODER_BITS - 8 * size)
            tail = _PADDING & (unit - 1)
            value = tail - (tail - low) // unit * unit
            if value <= high:
                break
        end = value.to_bytes(_BOUND_BYTES, "big")[:size]
        return self._buffer[: int(self._coder[state.AT])].tobytes() + end


class Decoder(_Stream):
    """Reads tensors from a payload.

    Raises:
        FileFormatError: From `get` and `finish`, where the payload cannot be what an encoder wrote.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(np.frombuffer(data + b"\0", np.uint8).copy(), decoding=True)
        self._size = len(data)
        self._coder[state.CODE] = int.from_bytes(data[:_BOUND_BYTES].ljust(_BOUND_BYTES, bytes([state.PADDING])), "big")
        self._coder[state.AT] = _BOUND_BYTES
        self._coder[state.END] = self._size

    def get(self, shape: tuple[int, ...]) -> NDArray[np.int32]:
        """The next tensor, which has weights: C-ordered int32 of this shape."""
        level = self._code_header(0)
        if level and math.prod(shape) > (self._size + 2 * _BOUND_BYTES) * _WEIGHTS_PER_BYTE:
            raise FileFormatError(
                f"coded weights: {self._size} bytes cannot hold a tensor of shape {shape}; the payload is truncated "
                "or belongs to another network"
            )
        try:
            values = np.zeros(shape, np.int32)
        except (MemoryError, ValueError, OverflowError) as error:
            raise FileFormatError(f"coded weights: a tensor of shape {shape} is too large to hold") from error
        status = self._code_weights(values, level) if level else state.OK
        if status == state.OUT_OF_RANGE:
            raise FileFormatError("coded weights: a level outside int32; the payload is damaged")
        if status == state.OVERRUN or int(self._coder[state.AT]) > self._size + _BOUND_BYTES:
            raise FileFormatError(
                f"coded weights: {self._size} bytes end before a tensor of shape {shape} does; the payload is "
                "truncated, damaged or belongs to another network"
            )
        return values

    def finish(self) -> None:
        """Check that the payload ends where its last tensor does."""
        left = self._size - int(self._coder[state.AT])
        if left > 0:
            raise FileFormatError(
                f"coded weights: at least {left} of {self._size} bytes are left over; the payload is damaged or "
                "belongs to another network"
            )


def matrix_of_kernels(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """A tensor's shape as (rows, columns, taps, taps a line); a vector is one row."""
    if len(shape) < 2:
        return 1, math.prod(shape), 1, 1
    return shape[0], shape[1], math.prod(shape[2:]), shape[-1] if len(shape) > 2 else 1


def _mean_level(tensor: NDArray[np.int32], quarter_octaves: NDArray[np.int32]) -> int:
    """Half octaves of the mean magnitude in units of 1/4096, 1 .. LAST_LEVEL; 0 where all weights are zero."""
    total = int(np.abs(tensor.astype(np.int64)).sum())
    if not total:
        return 0
    mean = total * 4096 // tensor.size
    return min(max(int(kernels.level_of(mean, quarter_octaves)) // 2, 1), state.LAST_LEVEL)
