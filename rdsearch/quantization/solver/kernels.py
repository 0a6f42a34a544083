"""The inner loops of the quantisers on a processor, compiled.

All work on one group of rows that share their inputs. Weights are in steps: a level is a whole number. ``rate`` is the
price of a bit in units of the distortion, one for each row. What a GPU does in their place is in `tensors`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rdsearch.base.compiled import compiled

Floats = NDArray[np.float64]
Levels = NDArray[np.int32]
Bools = NDArray[np.bool_]
Classes = NDArray[np.int16]

COLUMNS = 64
"""Columns of the moments that all rows are led through before the next ones: they stay in the cache."""
CANDIDATES = 4
"""Levels of a weight on a path: zero, and three around what is wanted."""


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
def round_rows(weights: Floats, alive: Bools, rate: Floats, classes: Classes, bits: Floats, levels: Levels) -> None:
    """Choose every level by itself."""
    rows, columns = weights.shape
    for row in range(rows):
        for column in range(columns):
            levels[row, column] = 0
            if alive[row, column]:
                levels[row, column] = cheapest(weights[row, column], 1.0, rate[row], bits[classes[row, column]])


@compiled
def descend_rows(
    gradient: Floats, alive: Bools, moments: Floats, rate: Floats, classes: Classes, bits: Floats, levels: Levels
) -> int:
    """One pass of coordinate descent: each level chosen anew, all others held. Returns how many changed.

    Args:
        gradient: (rows, columns): what the moments make of the errors; kept up to date.
        alive: (rows, columns): others stay as they are.
        moments: (columns, columns).
        rate: (rows,).
        classes: (rows, columns): row of ``bits`` for each weight.
        bits: (classes, magnitudes): cost of each magnitude.
        levels: (rows, columns): changed in place.
    """
    rows, columns = gradient.shape
    changed = 0
    for start in range(0, columns, COLUMNS):
        for row in range(rows):
            for column in range(start, min(start + COLUMNS, columns)):
                curvature = moments[column, column]
                if not alive[row, column] or curvature <= 0.0:
                    continue
                before = levels[row, column]
                wanted = before + gradient[row, column] / curvature
                level = cheapest(wanted, curvature, rate[row], bits[classes[row, column]])
                if level != before:
                    changed += 1
                    difference = float(level - before)
                    levels[row, column] = level
                    of_row, of_column = gradient[row], moments[column]
                    for other in range(of_row.size):
                        of_row[other] -= difference * of_column[other]
    return changed


@compiled
def follow_rows(
    wanted: Floats,
    alive: Bools,
    factor: Floats,
    rate: Floats,
    classes: Classes,
    bits: Floats,
    cost: Floats,
    origins: NDArray[np.int64],
    picked: Levels,
    errors: Floats,
) -> None:
    """Follow the open paths of each row through a block of columns; see `propagation`.

    Args:
        wanted: (rows, paths, columns): what the weights should be on each path, the errors before made up for.
        alive: (rows, columns): other weights become zero.
        factor: (columns, columns), upper triangular.
        rate: (rows,).
        classes: (rows, columns).
        bits: (classes, magnitudes).
        cost: (rows, paths): of each path, rising; infinite for one that is not open. Replaced by those at the end.
        origins: (rows, paths): filled with the path that each path at the end comes from.
        picked: (rows, paths, columns): filled with its levels.
        errors: (rows, paths, columns): filled with its errors, in units of the pivots.
    """
    rows, paths, columns = wanted.shape
    # Two of it: successors are written while the paths that they come from are still read.
    rest = np.empty((2, paths, columns))
    parents = np.zeros((columns, paths), np.int64)
    levels = np.zeros((columns, paths), np.int32)
    misses = np.zeros((columns, paths))
    kept_cost = np.empty(paths + 1)
    for row in range(rows):
        now, opened = 0, 0
        while opened < paths and cost[row, opened] < np.inf:
            rest[now, opened] = wanted[row, opened]
            opened += 1
        for column in range(columns):
            pivot, prices = factor[column, column], bits[classes[row, column]]
            parent_of, level_of, miss_of = parents[column], levels[column], misses[column]
            kept = 0
            for path in range(opened):
                value = rest[now, path, column]
                low = math.floor(abs(value))
                for candidate in range(CANDIDATES if alive[row, column] else 1):
                    # Zero, then the magnitude below the floor, the floor and the ceiling.
                    magnitude = max(low - 2 + candidate, 0) if candidate else 0
                    if candidate and magnitude == 0:
                        continue
                    level = magnitude if value > 0 else -magnitude
                    error = (value - level) / pivot
                    total = cost[row, path] + error**2 + rate[row] * price(magnitude, prices)
                    if kept == paths and not total < kept_cost[kept - 1]:
                        continue
                    place = min(kept, paths - 1)
                    while place > 0 and kept_cost[place - 1] > total:
                        kept_cost[place] = kept_cost[place - 1]
                        parent_of[place] = parent_of[place - 1]
                        level_of[place] = level_of[place - 1]
                        miss_of[place] = miss_of[place - 1]
                        place -= 1
                    kept_cost[place], parent_of[place], level_of[place], miss_of[place] = total, path, level, error
                    kept = min(kept + 1, paths)
            for path in range(kept):
                cost[row, path] = kept_cost[path]
                error = miss_of[path]
                parent = parent_of[path]
                # Slices of their own, which compile to instructions on several numbers at once.
                before, after = rest[now, parent, column + 1 :], rest[1 - now, path, column + 1 :]
                pivots = factor[column, column + 1 :]
                for later in range(after.size):
                    after[later] = before[later] - error * pivots[later]
            now, opened = 1 - now, kept
        for path in range(paths):
            at = path if path < opened else 0
            for back in range(columns):
                column = columns - 1 - back
                picked[row, path, column] = levels[column, at]
                errors[row, path, column] = misses[column, at]
                at = parents[column, at]
            origins[row, path] = at
            if path >= opened:
                cost[row, path] = np.inf
