"""What a curve of points adds to a front: the exact area, many curves at once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def staircase(points: Iterable[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """The points above 0 in both coordinates that no other one beats, more being better.

    Returns:
        Two arrays (n,) float64: the first coordinates, rising, and the second ones, falling, both strictly.
    """
    firsts: list[float] = []
    seconds: list[float] = []
    best = 0.0
    for first, second in sorted(points, reverse=True):
        if first > 0 and second > best:
            firsts.append(first)
            seconds.append(second)
            best = second
    return np.array(firsts[::-1]), np.array(seconds[::-1])


def added_area(front: tuple[np.ndarray, np.ndarray], firsts: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """The hypervolume that sets of points add to a front, over the reference (0, 0).

    Between two neighbouring first coordinates a set is as high as its highest point to the right, and the front falls
    like stairs: what lies between the two is a rectangle less a part of the front's own area, whose integral is linear
    between its steps. So the area is exact, and takes O(R log n) for a set of R points.

    Args:
        front: As `staircase` has it, n steps.
        firsts: (C, R), the first coordinates of C sets; what is below 0 counts as 0.
        seconds: (S, C, R), second coordinates in S cases; 0 or less adds nothing.

    Returns:
        (S, C) float64.
    """
    steps, heights = front
    order = np.argsort(firsts, axis=-1)
    right = np.maximum(np.take_along_axis(firsts, order, axis=-1), 0.0)
    left = np.concatenate([np.zeros((len(right), 1)), right[:, :-1]], axis=-1)
    ordered = np.take_along_axis(seconds, np.broadcast_to(order, seconds.shape), axis=-1)
    height = np.maximum(np.maximum.accumulate(ordered[..., ::-1], axis=-1)[..., ::-1], 0.0)
    knots = np.concatenate([[0.0], steps])
    below = np.concatenate([[0.0], np.cumsum(np.diff(knots) * heights)])  # the front's area left of each knot
    begin = np.clip(knots[np.searchsorted(-heights, -height, side="left")], left, right)
    overlap = np.interp(right, knots, below) - np.interp(begin, knots, below)
    added: np.ndarray = (height * (right - begin) - overlap).sum(axis=-1)
    return added
