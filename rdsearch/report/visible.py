"""Which of very many points a plot draws: of those that lie on each other, one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rdsearch.points.point import OperatingPoint

COLUMNS, ROWS = 150, 96
"""Cells of a plot, each about as large as a point's mark in a usual window."""


def visible(
    points: Sequence[OperatingPoint], sizes: tuple[float, float], accuracies: tuple[float, float]
) -> list[OperatingPoint]:
    """The first point of each cell, in the points' order; there are at most twice as many as cells.

    Args:
        points: With finite accuracies.
        sizes: From which size to which the plot is first shown, in bytes, on a log axis.
        accuracies: The same of the other axis. What is outside is in cells of the plane that all points take.
    """
    if not points:
        return []
    across = np.log([max(point.size_bytes, 1) for point in points])
    up = np.array([point.val_accuracy for point in points])
    (left, right), (low, high) = np.log(sizes), accuracies
    inside = (left <= across) & (across <= right) & (low <= up) & (up <= high)
    cells = np.where(
        inside,
        _cells(across, up, (left, right), (low, high)),
        COLUMNS * ROWS + _cells(across, up, (across.min(), across.max()), (up.min(), up.max())),
    )
    _, first = np.unique(cells, return_index=True)
    return [points[index] for index in np.sort(first)]


def _cells(
    across: np.ndarray, up: np.ndarray, horizontal: tuple[float, float], vertical: tuple[float, float]
) -> np.ndarray:
    """Number of the cell that each place is in; of those at the edges for what is outside."""
    (left, right), (low, high) = horizontal, vertical
    column = np.clip((across - left) / max(right - left, 1e-12) * COLUMNS, 0, COLUMNS - 1)
    row = np.clip((up - low) / max(high - low, 1e-12) * ROWS, 0, ROWS - 1)
    return column.astype(np.int64) * ROWS + row.astype(np.int64)
