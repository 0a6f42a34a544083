"""What a curve is worth: the area that it is expected to add to the front for each second that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rdsearch.search.study.curve.area import added_area, staircase
from rdsearch.search.study.curve.curves import Scale
from rdsearch.search.study.curve.surrogate import Surrogate, inputs_of

MAX_POINTS = 12
"""A longer curve is seen at so many of its steps."""


@dataclass(frozen=True)
class Ways:
    """Recipes and the steps that they would go through.

    Attributes:
        rows: (C, columns), encoded recipes.
        numbers: Leading columns that are numbers.
        steps: (C, R), rising, the last one the whole curve's; repeated where a curve has fewer.
        positions: (C, R).
        done: (C,), steps that were gone already.
    """

    rows: np.ndarray
    numbers: int
    steps: np.ndarray
    positions: np.ndarray
    done: np.ndarray

    @property
    def inputs(self) -> np.ndarray:
        """(C, R, columns + 1), see `inputs_of`."""
        return inputs_of(self.rows, self.positions, self.numbers)

    @property
    def spans(self) -> np.ndarray:
        """(C, R), steps that each of ``steps`` stands for and that are still to be gone."""
        before = np.concatenate([np.zeros((len(self.steps), 1)), self.steps[:, :-1]], axis=1)
        spans: np.ndarray = np.maximum(self.steps - np.maximum(before, self.done[:, None]), 0)
        return spans


def seen_steps(lengths: Sequence[int]) -> np.ndarray:
    """(C, R): the steps of curves of these lengths that are looked at, all of them where they are few."""
    count = min(max(lengths), MAX_POINTS)
    return np.array([np.rint(np.linspace(1, length, count)) if count > 1 else [length] for length in lengths])


def alive(qualities: np.ndarray, spans: np.ndarray, floor: float, patience: int | None) -> np.ndarray:
    """Whether a trial gets to its steps (..., C, R): not if the last ``patience`` before it lay below the floor."""
    reached = np.ones(qualities.shape, dtype=bool)
    if patience is None:
        return reached
    streak = np.zeros(qualities.shape[:-1])
    for place in range(1, qualities.shape[-1]):
        streak = np.where(qualities[..., place - 1] < floor, streak + spans[..., place - 1], 0)
        reached[..., place] = reached[..., place - 1] & (streak < patience)
    return reached


def worth(
    ways: Ways,
    running: Ways | None,
    front: Sequence[tuple[float, float]],
    surrogate: Surrogate,
    scale: Scale,
    patience: int | None,
    normals: np.ndarray,
) -> np.ndarray:
    """Expected hypervolume improvement of each curve's rest, over its expected seconds (Emmerich 2005, for sets).

    Args:
        ways: Curves that could be begun, or gone on with.
        running: Curves that are being gone: their means count as if they were on the front already.
        front: (gain, quality) of points that count.
        surrogate: What is believed.
        scale: Where points begin to be worth something.
        patience: See `Curves`.
        normals: (S, R) independent standard normal numbers.

    Returns:
        (C,) float64.
    """
    points = [(gain - scale.origin, quality - scale.floor) for gain, quality in front]
    if running is not None:
        points += _expected(running, surrogate, scale, patience)
    inputs, spans = ways.inputs, ways.spans
    gains = surrogate.gains(inputs)
    qualities = scale.quality(surrogate.quality.draw(inputs, normals))
    gone = alive(qualities, spans, scale.floor, patience) & (spans > 0)
    counting = gone & (gains >= scale.least_gain)
    added = added_area(staircase(points), gains - scale.origin, np.where(counting, qualities - scale.floor, 0.0))
    seconds = (gone * spans * surrogate.seconds(inputs, ways.steps)).sum(-1)
    expected: np.ndarray = added.mean(0) / np.maximum(seconds.mean(0), 1e-9)
    return expected


def _expected(ways: Ways, surrogate: Surrogate, scale: Scale, patience: int | None) -> list[tuple[float, float]]:
    inputs = ways.inputs
    gains, qualities = surrogate.gains(inputs), scale.quality(surrogate.quality.mean(inputs))
    gone = alive(qualities, ways.spans, scale.floor, patience) & (ways.spans > 0) & (gains >= scale.least_gain)
    return [
        (float(gain - scale.origin), float(quality - scale.floor))
        for gain, quality in zip(gains[gone], qualities[gone], strict=True)
    ]
