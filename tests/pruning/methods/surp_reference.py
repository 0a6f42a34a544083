"""SuRP as a direct loop, one pass over all magnitudes a step: slow, and easy to hold against the paper."""

from __future__ import annotations

import numpy as np


def refine_slowly(magnitudes, survivors, alpha, decay, generator):
    """Picks, thresholds, set sizes, residual and refreshes of the loop, for the rule of ``alpha`` and ``decay``."""
    residual = magnitudes.copy()
    threshold = alpha * residual.mean()
    picks, thresholds, counts, distinct = [], [], [], set()
    refreshes = 0
    while len(distinct) < survivors:
        members = np.flatnonzero(residual > threshold)
        while members.size == 0:
            refreshes += 1
            if refreshes % 20 == 0:
                alpha *= 0.9
            threshold = alpha * residual.mean()
            members = np.flatnonzero(residual > threshold)
        index = members[int(generator.random() * members.size)]
        residual[index] -= threshold
        picks.append(index)
        thresholds.append(threshold)
        counts.append(members.size)
        distinct.add(index)
        threshold *= decay
    return np.array(picks, dtype=np.int64), np.array(thresholds), np.array(counts), residual, refreshes
