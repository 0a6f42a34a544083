"""What a file holds compressed by zlib: the list of tensors, buffers, the recipe."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rdsearch.coding.container import Cursor
from rdsearch.coding.layout import Entry
from rdsearch.errors import FileFormatError

MAX_TEXT = 2**22
"""Bytes of JSON: room for 50 000 tensors."""
_BUFFER_DTYPES = frozenset(
    {"bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32"}
)


def encode_buffers(buffers: Mapping[str, np.ndarray], entries: Sequence[Entry]) -> bytes:
    """The values of all ``buffer`` entries; nothing where there are none."""
    raw = b"".join(_raw(buffers[entry.name]) for entry in entries)
    return zlib.compress(raw, 9) if raw else b""


def encode_recipe(recipe: Mapping[str, Any]) -> bytes:
    """A recipe as JSON."""
    return zlib.compress(json.dumps(recipe, separators=(",", ":")).encode(), 9)


def _raw(buffer: np.ndarray) -> bytes:
    return np.ascontiguousarray(buffer, buffer.dtype.newbyteorder("<")).tobytes()


def decode_buffers(payload: memoryview | None, entries: Sequence[Entry]) -> dict[str, np.ndarray]:
    """Values of all ``buffer`` entries, by name.

    Raises:
        FileFormatError: They are damaged, or not those of the entries.
    """
    dtypes = [_buffer_dtype(entry) for entry in entries]
    sizes = [entry.size * dtype.itemsize for entry, dtype in zip(entries, dtypes, strict=True)]
    raw = inflate(payload, "the buffers section", sum(sizes)) if payload is not None else b""
    if len(raw) != sum(sizes):
        raise FileFormatError(f"the buffers section holds {len(raw)} bytes, {sum(sizes)} are needed; it is damaged")
    cursor = Cursor(raw, "the buffers section")
    return {
        entry.name: np.frombuffer(cursor.take(size), dtype).reshape(entry.shape).astype(dtype.newbyteorder("="))
        for entry, dtype, size in zip(entries, dtypes, sizes, strict=True)
    }


def _buffer_dtype(entry: Entry) -> np.dtype[Any]:
    if entry.note not in _BUFFER_DTYPES:
        raise FileFormatError(f"buffer {entry.name!r} has impossible type {entry.note[:40]!r}; the file is damaged")
    return np.dtype(entry.note).newbyteorder("<")


def decode_recipe(payload: memoryview | None) -> dict[str, Any] | None:
    """The recipe, where there is one.

    Raises:
        FileFormatError: It is damaged.
    """
    if payload is None:
        return None
    try:
        recipe = json.loads(inflate(payload, "the recipe section"))
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"the recipe section is damaged: {error}") from None
    if not isinstance(recipe, dict):
        raise FileFormatError("the recipe section is damaged: it holds no mapping")
    return recipe


def inflate(data: memoryview, what: str, limit: int = MAX_TEXT) -> bytes:
    """The bytes behind ``data``, at most ``limit`` of them.

    Raises:
        FileFormatError: It is damaged, or they are more; ``what`` it is said to be.
    """
    decompressor = zlib.decompressobj()
    try:
        text = decompressor.decompress(data, limit + 1)
    except zlib.error as error:
        raise FileFormatError(f"{what} is damaged: {error}") from None
    if len(text) > limit or not decompressor.eof or decompressor.unused_data:
        raise FileFormatError(f"{what} is damaged or too long: at most {limit} bytes are read")
    return text
