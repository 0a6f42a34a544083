"""The decoder in C, where the package was built with a compiler at hand.

Nothing is compiled when it first runs, and neither numba nor constriction is imported. It gives the very integers that
the functions of `model` give; the tests compare the two. Encoding is theirs.
"""

from __future__ import annotations

import ctypes
import zlib
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rdsearch.coding.model import state
from rdsearch.coding.reading import Reader

LIBRARY = Path(__file__).parent / "librdz.so"
"""Made of `decoder/rdz.c` by `packaging/compile_decoder.py`, when a wheel is built or the package is installed."""
_SOURCE = Path(__file__).parents[2] / "decoder" / "rdz.c"
_NO_MEMORY = 5

Library: TypeAlias = ctypes.CDLL


@cache
def library() -> Library | None:
    """The compiled decoder; `None` where there is none, or in a checkout whose source has changed since."""
    try:
        found = ctypes.CDLL(str(LIBRARY))
        made_of = ctypes.c_uint32.in_dll(found, "rdz_source").value
        stream, values = ctypes.c_void_p, ctypes.c_void_p
        for name, result, arguments in (
            ("rdz_open", stream, [ctypes.c_char_p, ctypes.c_size_t]),
            ("rdz_next", ctypes.c_int, [stream, ctypes.c_int, ctypes.c_void_p]),
            ("rdz_weights", ctypes.c_int, [stream, ctypes.c_int, values]),
            ("rdz_go_on", None, [stream, ctypes.c_char_p, ctypes.c_size_t]),
            ("rdz_next_cells", ctypes.c_int, [stream, ctypes.c_int, ctypes.c_void_p]),
            ("rdz_cells", ctypes.c_int, [stream, ctypes.c_void_p, values]),
            ("rdz_words", ctypes.c_uint64, [stream]),
            ("rdz_overrun", ctypes.c_int, [stream]),
            ("rdz_close", None, [stream]),
        ):
            function = getattr(found, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError, ValueError):
        return None
    return found if not _SOURCE.is_file() or zlib.crc32(_SOURCE.read_bytes()) == made_of else None


class NativeDecoder(Reader):
    """Reads tensors from a payload by the decoder in C, which lets other threads run; see `Reader`."""

    def __init__(self, data: bytes, library: Library) -> None:
        super().__init__(data)
        self._library = library
        self._data = bytes(data)  # stays where it is as long as the stream reads it
        self._stream = library.rdz_open(self._data, len(self._data))
        if not self._stream:
            raise MemoryError

    def __del__(self) -> None:
        self._library.rdz_close(self._stream)

    def go_on(self, data: bytes) -> None:
        """See `Reader`."""
        super().go_on(data)
        self._data = bytes(data)
        self._library.rdz_go_on(self._stream, self._data, len(self._data))

    def _next(self, shape: tuple[int, ...]) -> bool:
        sizes = np.array(shape, np.uint64)
        return bool(self._library.rdz_next(self._stream, len(shape), sizes.ctypes.data))

    def _next_cells(self, shape: tuple[int, ...]) -> bool:
        sizes = np.array(shape, np.uint64)
        return bool(self._library.rdz_next_cells(self._stream, len(shape), sizes.ctypes.data))

    def _read(self, values: NDArray[np.int32], *, in_order: bool) -> int:
        return self._status(self._library.rdz_weights(self._stream, in_order, values.ctypes.data))

    def _split(self, cells: NDArray[np.int32], options: tuple[int, int]) -> int:
        both = np.array(options, np.intc)
        return self._status(self._library.rdz_cells(self._stream, both.ctypes.data, cells.ctypes.data))

    def _status(self, status: int) -> int:
        if status == _NO_MEMORY:
            raise MemoryError
        if status:
            return state.OVERRUN if self._exhausted() else state.OUT_OF_RANGE
        return state.OK

    def _exhausted(self) -> bool:
        return bool(self._library.rdz_overrun(self._stream))

    def _words(self) -> int:
        return int(self._library.rdz_words(self._stream))
