"""The inner loop of SuRP: a random member of a changing set, in logarithmic time.

The set holds the indices whose residual is above the threshold. The threshold never rises while the set is in
use, so an index enters when the threshold falls below its residual, and leaves when it is picked and its
residual drops. Two sources of entrants are kept in order of residual: the indices not yet picked (sorted
once) and those picked before (a heap). A Fenwick tree over all indices finds the r-th smallest member.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rdsearch.base.compiled import compiled

# Entries of the counters that one call hands to the next.
ENTERED, HEAPED, MEMBERS, DISTINCT = range(4)


@compiled
def pick_members(
    residual: NDArray[np.float64],
    order: NDArray[np.int64],
    positive: int,
    tree: NDArray[np.int32],
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
        tree: Fenwick tree of the members, shape ``(n + 1,)``, zero at the start.
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
            _add(tree, order[counters[ENTERED]], 1)
            counters[ENTERED] += 1
            counters[MEMBERS] += 1
        while counters[HEAPED] > 0 and residual[heap[0]] > threshold:
            _add(tree, _pop(heap, counters, residual), 1)
            counters[MEMBERS] += 1
        if counters[MEMBERS] == 0 or (counters[ENTERED] == order.size and order.size < positive):
            break
        index = _find(tree, int(draws[step] * counters[MEMBERS]))
        residual[index] -= threshold
        picks[step] = index
        thresholds[step] = threshold
        members[step] = counters[MEMBERS]
        if not seen[index]:
            seen[index] = True
            counters[DISTINCT] += 1
        threshold *= decay
        if residual[index] <= threshold:
            _add(tree, index, -1)
            counters[MEMBERS] -= 1
            _push(heap, counters, residual, index)
        step += 1
    return step


@compiled
def _add(tree: NDArray[np.int32], index: int, change: int) -> None:
    node = index + 1
    while node < tree.size:
        tree[node] += change
        node += node & -node


@compiled
def _find(tree: NDArray[np.int32], rank: int) -> int:
    """Index of the member that has ``rank`` members before it."""
    node = 0
    stride = 1
    while stride * 2 < tree.size:
        stride *= 2
    while stride > 0:
        right = node + stride
        if right < tree.size and tree[right] <= rank:
            node = right
            rank -= tree[right]
        stride //= 2
    return node


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
