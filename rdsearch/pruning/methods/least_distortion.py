"""Counts of least total distortion, by dynamic programming."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rdsearch.pruning.apportion import apportion
from rdsearch.pruning.layers import Floats
from rdsearch.pruning.methods.output_distortion import Curve

UNITS = 1024
"""Into so many units the survivors are divided at most: the resolution of the table."""


def least_distortion(curves: Sequence[Curve], total: int) -> list[int]:
    """Counts that sum to ``total`` and whose distortions have the least sum.

    The best distortion of the first layers at each number of survivors that they use up is a table that grows layer by
    layer. Up to ``UNITS`` survivors the result is exact. Beyond, counts are whole units in the table, or all that a
    layer has, and are then scaled to meet the total.

    Source: Xu et al., ICCV 2023, arXiv 2308.10438, section 3, where the state is the number of weights pruned.

    Args:
        curves: One a layer.
        total: At most what the curves reach together.
    """
    unit = -(-max(total, 1) // UNITS)
    units = -(-total // unit)
    best = np.full(units + 1, np.inf)
    best[0] = 0.0
    chosen: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int16]]] = []
    for curve in curves:
        counts, costs, distortions = _options(curve, total, unit)
        before, best = best, np.full(units + 1, np.inf)
        taken = np.zeros(units + 1, dtype=np.int16)
        for option, (cost, distortion) in enumerate(zip(costs, distortions, strict=True)):
            sums = before[: units + 1 - cost] + distortion
            better = sums < best[cost:]
            best[cost:][better] = sums[better]
            taken[cost:][better] = option
        chosen.append((counts, costs, taken))
    counts_kept = _traced(chosen, int(np.flatnonzero(np.isfinite(best))[-1]))
    caps = [int(curve.counts[-1]) for curve in curves]
    return apportion([max(count, 1) if unit > 1 else count for count in counts_kept], caps, [0] * len(caps), total)


def _options(curve: Curve, total: int, unit: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Counts to consider, their cost in units, rising, and their distortion; of one cost the densest."""
    most = min(int(curve.counts[-1]), total)
    counts = np.unique(np.append(np.arange(0, most + 1, unit), most))
    costs = np.rint(counts / unit).astype(np.int64)
    last = np.append(costs[1:] != costs[:-1], True)
    return counts[last], costs[last], curve.at(counts[last].astype(np.float64))


def _traced(chosen: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int16]]], used: int) -> list[int]:
    kept: list[int] = []
    for counts, costs, taken in reversed(chosen):
        option = int(taken[used])
        kept.append(int(counts[option]))
        used -= int(costs[option])
    return kept[::-1]
