"""The inner loop of SuRP: a random member of a changing set, in logarithmic time.

The set holds the indices whose residual is above the threshold. The threshold never rises while the set is in
use, so an index enters when the threshold falls below its residual, and leaves when it is picked and its
residual drops. Two sources of entrants are kept in order of residual: the indices not yet picked (sorted
once) and those picked before (a heap). The r-th smallest member is found by counts of members in runs of indices, of
64, 64**2 and 64**3: all but the flags themselves stay in the cache, where a balanced tree over all indices would not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rdsearch.base.compiled import compiled

SHIFT = 6
"""A run holds ``2**SHIFT`` of the runs below it, or of the flags."""

# Entries of the counters that one call hands to the next.
ENTERED, HEAPED, MEMBERS, DISTINCT = range(4)


@compiled
def pick_members(
    residual: NDArray[np.float64],
    order: NDArray[np.int64],
    positive: int,
    flags: NDArray[np.uint8],
    counts: NDArray[np.int32],
    heap: NDArray[np.int64],
    seen: NDArray[np.bool_],
    counters: NDArray[np.int64],
    threshold: float,
    decay: float,
    wanted: int,
    draws: NDArray[np.float64],
    picks: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    members: NDArray[np.int64],
) -> int:
    """Make picks until the set is empty, ``wanted`` indices are distinct, or ``draws`` or ``order`` is used up.

    A step with draw ``x`` picks the ``floor(x * count)``-th smallest of the ``count`` members, takes the
    threshold off its residual, and multiplies the threshold by ``decay``. All arrays but ``order`` and
    ``draws`` are changed in place.

    Args:
        residual: What is left of each magnitude, shape ``(n,)``.
        order: Indices of the largest initial magnitudes, largest first.
        positive: Number of positive initial magnitudes. Where ``order`` has fewer, and all have entered, the picks end.
        flags: 1 for each member, shape ``(n,)``, zero at the start.
        counts: Members of each run, as :func:`runs` makes room for them, zero at the start.
        heap: Room for as many picked indices as will be distinct.
        seen: Which indices were ever picked, shape ``(n,)``.
        counters: See the constants of this module, zero at the start.
        threshold: Threshold of the first step.
        decay: Factor of the threshold, in (0, 1].
        wanted: Distinct indices to reach.
        draws: Uniform in [0, 1), one a step.
        picks: Receives the index of each step; as long as ``draws``.
        thresholds: Receives the threshold of each step; as long as ``draws``.
        members: Receives the set's size at each step; as long as ``draws``.

    Returns:
        Steps made.
    """
    step = 0
    while step < draws.size and counters[DISTINCT] < wanted:
        while counters[ENTERED] < order.size and residual[order[counters[ENTERED]]] > threshold:
            _add(flags, counts, order[counters[ENTERED]], 1)
            counters[ENTERED] += 1
            counters[MEMBERS] += 1
        while counters[HEAPED] > 0 and residual[heap[0]] > threshold:
            _add(flags, counts, _pop(heap, counters, residual), 1)
            counters[MEMBERS] += 1
        if counters[MEMBERS] == 0 or (counters[ENTERED] == order.size and order.size < positive):
            break
        index = _find(flags, counts, int(draws[step] * counters[MEMBERS]))
        residual[index] -= threshold
        picks[step] = index
        thresholds[step] = threshold
        members[step] = counters[MEMBERS]
        if not seen[index]:
            seen[index] = True
            counters[DISTINCT] += 1
        threshold *= decay
        if residual[index] <= threshold:
            _add(flags, counts, index, -1)
            counters[MEMBERS] -= 1
            _push(heap, counters, residual, index)
        step += 1
    return step


def runs(n: int) -> NDArray[np.int32]:
    """Zeros for the counts of runs of 64, 64**2 and 64**3 among ``n`` flags, one after the other."""
    return np.zeros(sum((n >> level * SHIFT) + 1 for level in (1, 2, 3)), np.int32)


@compiled
def _add(flags: NDArray[np.uint8], counts: NDArray[np.int32], index: int, change: int) -> None:
    flags[index] += change
    start = 0
    for level in range(1, 4):
        counts[start + (index >> level * SHIFT)] += change
        start += (flags.size >> level * SHIFT) + 1


@compiled
def _find(flags: NDArray[np.uint8], counts: NDArray[np.int32], rank: int) -> int:
    """Index of the member that has ``rank`` members before it."""
    second = (flags.size >> SHIFT) + 1
    third = second + (flags.size >> 2 * SHIFT) + 1
    run = 0
    for start in (third, second, 0):
        while rank >= counts[start + run]:
            rank -= counts[start + run]
            run += 1
        run <<= SHIFT
    while rank >= flags[run]:
        rank -= flags[run]
        run += 1
    return run


@compiled
def _push(heap: NDArray[np.int64], counters: NDArray[np.int64], residual: NDArray[np.float64], index: int) -> None:
    """Add ``index`` to the heap, whose root has the largest residual."""
    place = counters[HEAPED]
    counters[HEAPED] += 1
    while place > 0:
        parent = (place - 1) // 2
        if residual[heap[parent]] >= residual[index]:
            break
        heap[place] = heap[parent]
        place = parent
    heap[place] = index


@compiled
def _pop(heap: NDArray[np.int64], counters: NDArray[np.int64], residual: NDArray[np.float64]) -> int:
    """Take the index of the largest residual off the heap."""
    top = heap[0]
    counters[HEAPED] -= 1
    size = counters[HEAPED]
    last = heap[size]
    place = 0
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and residual[heap[child + 1]] > residual[heap[child]]:
            child += 1
        if residual[last] >= residual[heap[child]]:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = last
    return int(top)
