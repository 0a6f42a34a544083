"""The step at which a file has a size, without training: files are packed until one fits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rdsearch.errors import QuantizationError

TOLERANCE = 0.01
"""A file that is smaller than asked for by no more than this share is taken."""
PACKINGS = 8
LARGEST_STEP = 10.0
"""As in a recipe."""
_FARTHEST = 2.0
"""Logarithm of the factor that a step is moved by at most while the size has been seen from one side alone."""


def pack_to_size(pack_at: Callable[[float], bytes], step: float, target_bytes: int) -> bytes:
    """The largest of the files packed that is no larger than ``target_bytes``.

    Bytes fall as a power of the step, nearly: each step tried is where a line in logarithms has the target, through the
    nearest files on both sides of it, or through the last two while all are on one side.

    Args:
        pack_at: From a step to the file; the same step gives the same file.
        step: Where to begin.
        target_bytes: At least 1.

    Raises:
        QuantizationError: Even the coarsest step makes a larger file, or none of the steps tried fits.
    """
    seen: list[tuple[float, int]] = []
    best = b""
    for _ in range(PACKINGS):
        data = pack_at(step)
        seen.append((step, len(data)))
        if len(best) < len(data) <= target_bytes:
            best = data
            if len(data) >= (1 - TOLERANCE) * target_bytes:
                return best
        if len(data) > target_bytes and step >= LARGEST_STEP:
            raise QuantizationError(
                f"quantization.target_bytes = {target_bytes:,}: at the coarsest step, {LARGEST_STEP:g}, the file takes "
                f"{len(data):,} bytes; give at least so many, or prune"
            )
        step = _next(seen, target_bytes)
    if not best:
        raise QuantizationError(
            f"quantization.target_bytes = {target_bytes:,}: none of {PACKINGS} steps tried makes so small a file; give "
            "a coarser quantization.step to begin with"
        )
    return best


def _next(seen: Sequence[tuple[float, int]], target_bytes: int) -> float:
    """The step to try after those that were: (step, bytes) each."""
    aim = math.log(target_bytes * (1 - TOLERANCE / 2))
    larger = max(((step, size) for step, size in seen if size > target_bytes), default=None)
    smaller = min(((step, size) for step, size in seen if size <= target_bytes), default=None)
    if larger is not None and smaller is not None:
        # Away from the ends, so that both sides come nearer whatever the curve is.
        share = min(max(_share(larger, smaller, aim), 0.1), 0.9)
        return larger[0] * math.exp(share * math.log(smaller[0] / larger[0]))
    step, size = seen[-1]
    move = math.log(size) - aim
    if len(seen) > 1 and seen[-2][1] != size:
        move = _share(seen[-2], seen[-1], aim) * math.log(step / seen[-2][0]) - math.log(step / seen[-2][0])
    return min(step * math.exp(min(max(move, -_FARTHEST), _FARTHEST)), LARGEST_STEP)


def _share(one: tuple[float, int], other: tuple[float, int], aim: float) -> float:
    """Of the way from one step to another, in logarithms, where the line of their files' has a size."""
    return (math.log(one[1]) - aim) / (math.log(one[1]) - math.log(other[1]))
