"""A plot of a few lines of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

_MARK = "•"


def staircase(places: Sequence[tuple[float, float]], *, width: int, height: int) -> list[str]:
    """Points of which the horizontal values are on a log axis, one line of text a row, the highest first.

    Args:
        places: Horizontal values above 0, and vertical ones.
        width: Columns, 2 at least.
        height: Rows, 2 at least.
    """
    if not places:
        return []
    across = [math.log(x) for x, _ in places]
    up = [y for _, y in places]
    rows = [[" "] * width for _ in range(height)]
    for x, y in zip(across, up, strict=True):
        column = _cell(x, min(across), max(across), width)
        rows[height - 1 - _cell(y, min(up), max(up), height)][column] = _MARK
    return ["".join(row).rstrip() for row in rows]


def _cell(value: float, low: float, high: float, cells: int) -> int:
    return round((value - low) / (high - low) * (cells - 1)) if high > low else 0
