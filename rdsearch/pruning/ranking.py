"""The highest scores of an array, and of several taken together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rdsearch.pruning.layers import Bools, Floats


def highest(scores: Floats, count: int) -> Bools:
    """Mark the ``count`` highest of ``scores``, shape ``(n,)``; of equal scores the first are marked.

    Linear in ``n``: a selection, not a sort.
    """
    if count == 0:
        return np.zeros(scores.shape, dtype=np.bool_)
    threshold = np.partition(scores, scores.size - count)[scores.size - count]
    marked: Bools = scores > threshold
    marked[np.flatnonzero(scores == threshold)[: count - int(np.count_nonzero(marked))]] = True
    return marked


def highest_alive(scores: Floats, alive: Bools, count: int) -> Bools:
    """:func:`highest` among the places where ``alive`` is true; ``count`` is at most their number."""
    return highest(scores if alive.all() else np.where(alive, scores, -np.inf), count)


class Ranking:
    """The scores of all layers taken together; each layer is sorted once, and asked often.

    Args:
        scores: Of the weights that take part, in rising order, shape ``(living,)``, one array a layer, not negative.
    """

    def __init__(self, scores: Sequence[Floats]) -> None:
        self._by_layer = list(scores)
        if len({layer.dtype for layer in self._by_layer}) > 1:
            self._by_layer = [layer.astype(np.float64) for layer in self._by_layer]

    def counts(self, survivors: int) -> list[int]:
        """How many of the ``survivors`` highest scores lie in each layer; of equal scores, earlier layers' go first."""
        if survivors == 0:
            return [0] * len(self._by_layer)
        threshold = self._threshold(survivors)
        counts = [int(layer.size - np.searchsorted(layer, threshold, "right")) for layer in self._by_layer]
        missing = survivors - sum(counts)
        for place, layer in enumerate(self._by_layer):
            tied = int(layer.size - np.searchsorted(layer, threshold)) - counts[place]
            counts[place] += min(tied, missing)
            missing -= min(tied, missing)
        return counts

    def _threshold(self, survivors: int) -> np.floating[Any]:
        """The score that ``survivors`` scores reach, and no higher one."""
        kind = self._by_layer[0].dtype
        # Floats that are not negative are in the order of their bits, of which one after the other is found.
        bits = np.dtype(f"u{kind.itemsize}").type
        layers = [layer.view(bits) for layer in self._by_layer]
        low, high = 0, 1 << (8 * kind.itemsize - 1)
        while high - low > 1:
            middle = (low + high) // 2
            reached = sum(layer.size - int(np.searchsorted(layer, bits(middle))) for layer in layers)
            low, high = (middle, high) if reached >= survivors else (low, middle)
        found: np.floating[Any] = np.array([low], bits).view(kind)[0]
        return found
