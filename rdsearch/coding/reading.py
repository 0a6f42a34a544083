"""Reading a stream of tensors, and all that is checked meanwhile, whoever decodes its decisions."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from rdsearch.coding.arrays import is_void
from rdsearch.coding.cells import Cells
from rdsearch.coding.model import state
from rdsearch.errors import FileFormatError

WORD_BYTES = 4
# The cheapest weight takes one bit of probability 1 - FLOOR/65536, 1/2839 of a bit; half of it where ranges are close.
_WEIGHTS_PER_BYTE = 16 * 2839


def reader_of(data: bytes = b"") -> Reader:
    """What decodes a stream: the decoder in C where it was compiled, else the functions that numba compiles."""
    from rdsearch.coding import native

    library = native.library()
    if library is not None:
        return native.NativeDecoder(data, library)
    from rdsearch.coding.stream import Decoder

    return Decoder(data)


class Reader(ABC):
    """Reads tensors from a payload.

    Raises:
        FileFormatError: From `get`, `refine` and `finish`, where the payload cannot be what an encoder wrote.
    """

    def __init__(self, data: bytes) -> None:
        self._size = len(data)

    @abstractmethod
    def _next(self, shape: tuple[int, ...]) -> bool:
        """Read the next tensor's header: whether it has a weight that is not zero."""

    @abstractmethod
    def _read(self, values: NDArray[np.int32], *, in_order: bool) -> int:
        """Read the tensor whose header was read into zeros; one of `state.OK` and its like."""

    @abstractmethod
    def _next_cells(self, shape: tuple[int, ...]) -> bool:
        """Read the next refinement's header: whether any weight is not in the first cell that it may be in."""

    @abstractmethod
    def _split(self, cells: NDArray[np.int32], options: tuple[int, int]) -> int:
        """Read the cells whose header was read, given the first that each weight may be in; as `_read`."""

    @abstractmethod
    def _exhausted(self) -> bool:
        """Whether more has been read than the payload holds."""

    @abstractmethod
    def _words(self) -> int:
        """Words read so far."""

    def get(self, shape: tuple[int, ...], *, in_order: bool = False) -> NDArray[np.int32]:
        """The next tensor, which has weights: int32 of this shape; one of zeros is a view that takes no memory."""
        if not self._next(shape):
            return self._checked_end(_zeros(shape), state.OK)
        self._check_room(shape)
        try:
            # Memory that is not yet written to is not yet taken: what is taken grows as the payload is read.
            values = np.zeros(shape, np.int32)
            return self._checked_end(values, self._read(values, in_order=in_order))
        except MemoryError as error:
            raise _too_large(shape) from error

    def go_on(self, data: bytes) -> None:
        """Go on with another payload; what was learnt is kept."""
        self._size = len(data)

    def refine(self, known: NDArray[np.int32], coarse: Cells, fine: Cells) -> NDArray[np.int32]:
        """The next tensor's cells, given those that its weights are known to lie in."""
        if not self._next_cells(known.shape):
            return self._checked_layer(known if is_void(known) else coarse.first(known, fine), state.OK)
        self._check_room(known.shape)
        cells = coarse.first(known, fine)
        return self._checked_layer(cells, self._split(cells, coarse.split(fine)))

    def _checked_layer(self, cells: NDArray[np.int32], status: int) -> NDArray[np.int32]:
        if status == state.OVERRUN or self._exhausted():
            raise FileFormatError(
                f"coded weights: a quality layer of {self._size} bytes ends before a tensor of shape {cells.shape} "
                "does; the file is damaged or belongs to another network"
            )
        return cells

    def _check_room(self, shape: tuple[int, ...]) -> None:
        """Refuse a shape that the payload cannot fill, whatever it says."""
        if math.prod(shape) > (self._size + 4 * WORD_BYTES) * _WEIGHTS_PER_BYTE:
            raise FileFormatError(
                f"coded weights: {self._size} bytes cannot hold a tensor of shape {shape}; the payload is truncated "
                "or belongs to another network"
            )

    def _checked_end(self, values: NDArray[np.int32], status: int) -> NDArray[np.int32]:
        if status == state.OUT_OF_RANGE:
            raise FileFormatError("coded weights: a level outside int32; the payload is damaged")
        if status == state.OVERRUN or self._exhausted():
            raise FileFormatError(
                f"coded weights: {self._size} bytes end before a tensor of shape {values.shape} does; the payload is "
                "truncated, damaged or belongs to another network"
            )
        return values

    def finish(self) -> None:
        """Check that the payload ends where its last tensor does."""
        left = self._size - WORD_BYTES * self._words()
        if left > 0:
            raise FileFormatError(
                f"coded weights: at least {left} of {self._size} bytes are left over; the payload is damaged or "
                "belongs to another network"
            )


def _zeros(shape: tuple[int, ...]) -> NDArray[np.int32]:
    try:
        return np.broadcast_to(np.int32(0), shape)
    except ValueError as error:
        raise _too_large(shape) from error


def _too_large(shape: tuple[int, ...]) -> FileFormatError:
    return FileFormatError(f"coded weights: a tensor of shape {shape} is too large to hold")
