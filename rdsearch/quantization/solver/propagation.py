"""Levels chosen one after another along a row, the weights to come making up for each choice.

With one path this is the greedy choice of Optimal Brain Surgeon and GPTQ. With several it is the M-algorithm (Anderson
and Mohan 1984) on the same tree, as decoders of lattices use it: after each weight the cheapest paths so far stay open,
so that a level that looks worse at first may still win. Weights are in steps: a level is a whole number.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rdsearch.base.compiled import compiled
from rdsearch.quantization.solver.kernels import Floats, Levels, price

BLOCK = 64
"""Columns after which those beyond make up for the errors at once: what a path needs meanwhile stays in the cache."""
CANDIDATES = 4
"""Levels of a weight on a path: zero, and three around what is wanted."""


@compiled
def propagate(
    weights: Floats,
    alive: NDArray[np.bool_],
    factor: Floats,
    rate: Floats,
    classes: NDArray[np.int16],
    bits: Floats,
    paths: int,
    levels: Levels,
) -> None:
    """Choose the levels of every row.

    Args:
        weights: (rows, columns).
        alive: (rows, columns): others become zero.
        factor: (columns, columns): upper Cholesky factor of the inverse of the second moments.
        rate: (rows,): price of a bit in units of the distortion.
        classes: (rows, columns): row of ``bits`` for each weight.
        bits: (classes, magnitudes): cost of each magnitude.
        paths: Paths that stay open, at least 1.
        levels: (rows, columns): filled in.
    """
    rows, columns = weights.shape
    # Two of each: successors are written while the paths that they come from are still read.
    rest = np.empty((2, paths, columns))
    chosen = np.empty((2, paths, columns), np.int32)
    cost = np.empty(paths)
    for row in range(rows):
        now, opened = 0, 1
        rest[now, 0] = weights[row]
        cost[0] = 0.0
        for start in range(0, columns, BLOCK):
            stop = min(start + BLOCK, columns)
            opened, origins, picked, errors = _through_block(
                rest[now, :, start:stop],
                alive[row, start:stop],
                factor[start:stop, start:stop],
                rate[row],
                classes[row, start:stop],
                bits,
                opened,
                cost,
            )
            after = 1 - now
            for path in range(opened):
                origin = origins[path]
                chosen[after, path, :start] = chosen[now, origin, :start]
                chosen[after, path, start:stop] = picked[path]
                rest[after, path, stop:] = rest[now, origin, stop:]
                for column in range(start, stop):
                    error = errors[path, column - start]
                    if error != 0.0:
                        for later in range(stop, columns):
                            rest[after, path, later] -= error * factor[column, later]
            now = after
        levels[row] = chosen[now, 0]


@compiled
def _through_block(
    wanted: Floats,
    alive: NDArray[np.bool_],
    factor: Floats,
    rate: float,
    classes: NDArray[np.int16],
    bits: Floats,
    opened: int,
    cost: Floats,
) -> tuple[int, NDArray[np.int64], Levels, Floats]:
    """Follow the paths through some columns of a row.

    Args:
        wanted: (paths, columns): what the weights should be on each open path, the errors before made up for.
        alive: (columns,).
        factor: (columns, columns).
        rate: Price of a bit.
        classes: (columns,).
        bits: (classes, magnitudes).
        opened: Open paths, in the order of their costs.
        cost: (paths,): of each; replaced by those of the paths that stay open.

    Returns:
        How many paths stay open; and of each, in the order of their costs, the path that it comes from (paths,), its
        levels (paths, columns) and its errors in units of the pivots (paths, columns).
    """
    paths, columns = wanted.shape
    rest = np.empty((2, paths, columns))
    picked = np.empty((2, paths, columns), np.int32)
    errors = np.empty((2, paths, columns))
    origins = np.empty((2, paths), np.int64)
    costs = np.empty(paths * CANDIDATES)
    now = 0
    rest[now, :opened] = wanted[:opened]
    origins[now] = np.arange(paths)
    for column in range(columns):
        pivot, price_list = factor[column, column], bits[classes[column]]
        for path in range(opened):
            for candidate in range(CANDIDATES):
                value = rest[now, path, column]
                level = _level(value, candidate)
                place = path * CANDIDATES + candidate
                if candidate == 0 or (level != 0 and alive[column]):
                    costs[place] = cost[path] + ((value - level) / pivot) ** 2 + rate * price(abs(level), price_list)
                else:
                    costs[place] = np.inf
        order = np.argsort(costs[: opened * CANDIDATES], kind="mergesort")
        after, kept = 1 - now, 0
        for place in order[:paths]:
            if costs[place] == np.inf:
                break
            parent = place // CANDIDATES
            level = _level(rest[now, parent, column], place % CANDIDATES)
            error = (rest[now, parent, column] - level) / pivot
            cost[kept] = costs[place]
            origins[after, kept] = origins[now, parent]
            picked[after, kept, :column] = picked[now, parent, :column]
            errors[after, kept, :column] = errors[now, parent, :column]
            picked[after, kept, column], errors[after, kept, column] = level, error
            for later in range(column + 1, columns):
                rest[after, kept, later] = rest[now, parent, later] - error * factor[column, later]
            kept += 1
        now, opened = after, kept
    return opened, origins[now], picked[now], errors[now]


@compiled
def _level(value: float, candidate: int) -> int:
    """Zero, then the magnitude below the floor, the floor and the ceiling, with the sign; 0 where that is none."""
    if candidate == 0:
        return 0
    magnitude = max(math.floor(abs(value)) - 2 + candidate, 0)
    return magnitude if value > 0 else -magnitude
