"""Levels and their steps, as sections of a file hold them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rdsearch.coding.arrays import decode_arrays, encode_arrays
from rdsearch.coding.container import Cursor
from rdsearch.errors import FileFormatError

Levels = tuple[np.ndarray, float]
"""int32 levels and their step: the values are ``levels * step`` in float32."""
Shapes = Sequence[tuple[str, tuple[int, ...]]]
"""Names and shapes of tensors, in the order in which a file stores them."""

_SHARED_STEP, _OWN_STEPS = 0, 1


def encode_steps(steps: Sequence[float]) -> bytes:
    """Steps of tensors, once where all share one."""
    bits = np.array(steps, np.float32).view(np.uint32) >> 16
    shared = len(set(bits.tolist())) <= 1
    kept = bits[:1] if shared else bits
    return bytes([_SHARED_STEP if shared else _OWN_STEPS]) + kept.astype("<u2").tobytes()


def decode_steps(cursor: Cursor, count: int, what: str) -> list[float]:
    """Read the steps of ``count`` tensors.

    Raises:
        FileFormatError: They are cut short, or impossible.
    """
    form = cursor.byte()
    if form not in (_SHARED_STEP, _OWN_STEPS):
        raise FileFormatError(f"the {what} section has unknown form {form}; install a newer rdsearch")
    stored = min(1, count) if form == _SHARED_STEP else count
    bits = np.frombuffer(cursor.take(2 * stored), "<u2").astype(np.uint32) << 16
    steps = bits.view(np.float32)
    if not np.isfinite(steps).all() or (steps < 0).any():
        raise FileFormatError(f"the {what} section has an impossible step; it is damaged")
    return [float(step) for step in (steps.repeat(count) if form == _SHARED_STEP else steps)]


def encode_levels(tensors: Sequence[Levels]) -> bytes:
    """Steps and levels of tensors."""
    return encode_steps([step for _, step in tensors]) + encode_arrays([levels for levels, _ in tensors])


def decode_levels(payload: bytes, shapes: Shapes, what: str) -> dict[str, Levels]:
    """Read what `encode_levels` wrote.

    Raises:
        FileFormatError: The payload is damaged, or does not fit the shapes.
    """
    cursor = Cursor(payload, f"the {what} section")
    steps = decode_steps(cursor, len(shapes), what)
    arrays = decode_arrays(cursor.rest(), [shape for _, shape in shapes])
    return {name: (array, step) for (name, _), array, step in zip(shapes, arrays, steps, strict=True)}
