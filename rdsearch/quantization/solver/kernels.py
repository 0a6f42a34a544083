"""The inner loops of the quantisers, compiled.

All work on one group of rows that share their inputs. Weights are in steps: a level is a whole number. ``rate`` is the
price of a bit in units of the distortion, one for each row.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rdsearch.base.compiled import compiled

Floats = NDArray[np.float64]
Levels = NDArray[np.int32]


@compiled
def price(magnitude: int, bits: Floats) -> float:
    """Bits of a magnitude, given those of the first ones: (magnitudes,). Larger ones cost two bits an octave more."""
    last = bits.size - 1
    if magnitude <= last:
        return float(bits[magnitude])
    return float(bits[last] + 2 * math.log2(magnitude / last))


@compiled
def cheapest(value: float, curvature: float, rate: float, bits: Floats) -> int:
    """The level that minimises ``curvature * (value - level)**2 + rate * bits``: one of the two nearest, or zero.

    Args:
        value: What the level stands for, in steps.
        curvature: Distortion of an error of one step.
        rate: Price of a bit.
        bits: (MAGNITUDES,): cost of each magnitude, see `price`.
    """
    sign = 1 if value > 0 else -1
    magnitude = abs(value)
    low = math.floor(magnitude)
    best, best_cost = 0, curvature * magnitude * magnitude + rate * bits[0]
    for level in range(max(low - 1, 1), low + 2):
        cost = curvature * (magnitude - level) ** 2 + rate * price(level, bits)
        if cost < best_cost:
            best, best_cost = level, cost
    return sign * best


@compiled
def round_rows(
    weights: Floats, alive: NDArray[np.bool_], rate: Floats, classes: NDArray[np.int16], bits: Floats, levels: Levels
) -> None:
    """Choose every level by itself."""
    rows, columns = weights.shape
    for row in range(rows):
        for column in range(columns):
            levels[row, column] = 0
            if alive[row, column]:
                levels[row, column] = cheapest(weights[row, column], 1.0, rate[row], bits[classes[row, column]])


@compiled
def descend(
    weights: Floats,
    alive: NDArray[np.bool_],
    moments: Floats,
    rate: Floats,
    classes: NDArray[np.int16],
    bits: Floats,
    levels: Levels,
) -> int:
    """One pass of coordinate descent: each level chosen anew, all others held. Returns how many changed."""
    rows, columns = weights.shape
    changed = 0
    gradient = np.empty(columns)
    for row in range(rows):
        gradient[:] = 0.0
        for column in range(columns):
            error = weights[row, column] - levels[row, column]
            if error != 0.0:
                for other in range(columns):
                    gradient[other] += error * moments[column, other]
        for column in range(columns):
            curvature = moments[column, column]
            if not alive[row, column] or curvature <= 0.0:
                continue
            before = levels[row, column]
            wanted = before + gradient[column] / curvature
            level = cheapest(wanted, curvature, rate[row], bits[classes[row, column]])
            if level != before:
                changed += 1
                difference = float(level - before)
                levels[row, column] = level
                for other in range(columns):
                    gradient[other] -= difference * moments[column, other]
    return changed
