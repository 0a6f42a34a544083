"""The inner loops of the quantisers, compiled.

All work on one group of rows that share their inputs. Weights are in steps: a level is a whole number. ``rate`` is the
price of a bit in units of the distortion, one for each row.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rdsearch.compiled import compiled

Floats = NDArray[np.float64]
Levels = NDArray[np.int32]


@compiled
def cheapest(value: float, curvature: float, rate: float, bits: Floats) -> int:
    """The level that minimises ``curvature * (value - level)**2 + rate * bits``: one of the two nearest, or zero.

    Args:
        value: What the level stands for, in steps.
        curvature: Distortion of an error of one step.
        rate: Price of a bit.
        bits: (MAGNITUDES,): cost of each magnitude; larger ones cost as the last and two bits an octave.
    """
    sign = 1 if value > 0 else -1
    magnitude = abs(value)
    last = bits.size - 1
    low = math.floor(magnitude)
    best, best_cost = 0, curvature * magnitude * magnitude + rate * bits[0]
    for level in range(max(low - 1, 1), low + 2):
        price = bits[level] if level <= last else bits[last] + 2 * math.log2(level / last)
        cost = curvature * (magnitude - level) ** 2 + rate * price
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
def propagate(
    weights: Floats,
    alive: NDArray[np.bool_],
    factor: Floats,
    rate: Floats,
    classes: NDArray[np.int16],
    bits: Floats,
    levels: Levels,
) -> None:
    """Choose the levels of a row one after another; the weights to come make up for each choice.

    Args:
        weights: (rows, columns); changed.
        alive: (rows, columns): others become zero.
        factor: (columns, columns): upper Cholesky factor of the inverse of the second moments.
        rate: (rows,).
        classes: (rows, columns): row of ``bits`` for each weight.
        bits: (CLASSES, MAGNITUDES).
        levels: (rows, columns): filled in.
    """
    rows, columns = weights.shape
    for row in range(rows):
        rest = weights[row]
        for column in range(columns):
            pivot = factor[column, column]
            level = 0
            if alive[row, column]:
                level = cheapest(rest[column], 1 / (pivot * pivot), rate[row], bits[classes[row, column]])
            levels[row, column] = level
            error = (rest[column] - level) / pivot
            if error != 0.0:
                for later in range(column + 1, columns):
                    rest[later] -= error * factor[column, later]


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
