"""The highest scores of an array, and of several taken together."""

from __future__ import annotations

import numpy as np

from rdsearch.pruning.layers import Bools, Floats, Layers


def highest(scores: Floats, count: int) -> Bools:
    """Mark the ``count`` highest of ``scores``, shape ``(n,)``; of equal scores the first are marked.

    Linear in ``n``: a selection, not a sort.
    """
    if count == 0:
        return np.zeros(scores.shape, dtype=np.bool_)
    threshold = np.partition(scores, scores.size - count)[scores.size - count]
    marked: Bools = scores > threshold
    marked[np.flatnonzero(scores == threshold)[: count - int(marked.sum())]] = True
    return marked


def highest_alive(scores: Floats, alive: Bools, count: int) -> Bools:
    """:func:`highest` among the places where ``alive`` is true; ``count`` is at most their number."""
    return highest(np.where(alive, scores, -np.inf), count)


def counts_by_rank(layers: Layers, scores: tuple[Floats, ...], survivors: int) -> list[int]:
    """How many of the ``survivors`` highest scores of all living weights lie in each layer."""
    marked = highest_alive(np.concatenate(scores), np.concatenate(layers.alive), survivors)
    return [int(part.sum()) for part in np.split(marked, np.cumsum(layers.sizes)[:-1])]
