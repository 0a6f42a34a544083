"""Asynchronous successive halving with two objectives: trials that others beat by far are stopped early.

ASHA (Li et al. 2020, "A system for massively parallel hyperparameter tuning", Algorithm 2) with non-dominated sorting
in the place of one metric's order, ties broken by crowding distance (Deb et al. 2002, NSGA-II).
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

import numpy as np

from rdsearch.config.searchfile import HalvingConfig
from rdsearch.points.point import OperatingPoint


class Halving:
    """Judges trials at certain rounds, the rungs, by what other trials had at the same round.

    Args:
        config: Where the rungs are, and how many trials pass one.
    """

    def __init__(self, config: HalvingConfig) -> None:
        self._config = config
        self._rungs: dict[int, dict[int, tuple[float, float]]] = {}

    def add(self, number: int, point: OperatingPoint) -> bool:
        """Take in what a trial has at a round; whether that was new, and the round a rung."""
        rung = self._rungs.setdefault(point.round, {})
        if not self._is_rung(point.round) or number in rung or not math.isfinite(point.val_accuracy):
            return False
        rung[number] = (math.log2(point.size_bytes), -point.val_accuracy)
        return True

    def stops(self, number: int, point: OperatingPoint) -> bool:
        """Take in what a trial has at a round; whether it ends there.

        A point on its rung's front is never stopped, and neither is one that was judged before.
        """
        if not self.add(number, point):
            return False
        rung = self._rungs[point.round]
        if len(rung) < self._config.at_least:
            return False
        vectors = np.array(list(rung.values()))
        place = list(rung).index(number)
        ranks = non_dominated_ranks(vectors)
        if ranks[place] == 0:
            return False
        order = np.lexsort((-crowding(vectors, ranks), ranks))
        return int(np.flatnonzero(order == place)[0]) >= max(1.0, len(rung) / self._config.factor)

    def _is_rung(self, round_: int) -> bool:
        return round_ >= self._config.first_round and (round_ - self._config.first_round) % self._config.every == 0


def non_dominated_ranks(vectors: np.ndarray) -> np.ndarray:
    """The front that each vector is on, from 0: the front of what is left when all fronts before it are taken away.

    Args:
        vectors: (n, 2), both to be minimised. Equal vectors share a front.

    Returns:
        (n,) int64. O(n log n).
    """
    ranks = np.zeros(len(vectors), dtype=np.int64)
    lowest: list[float] = []  # of the second objective, by front; it rises from front to front
    latest: list[tuple[float, float]] = []
    for index in np.lexsort((vectors[:, 1], vectors[:, 0])):
        vector = (float(vectors[index, 0]), float(vectors[index, 1]))
        rank = bisect.bisect_right(lowest, vector[1])
        if rank and latest[rank - 1] == vector:
            rank -= 1
        if rank == len(lowest):
            lowest.append(vector[1])
            latest.append(vector)
        lowest[rank], latest[rank] = vector[1], vector
        ranks[index] = rank
    return ranks


def crowding(vectors: np.ndarray, ranks: Sequence[int] | np.ndarray) -> np.ndarray:
    """How far each vector's neighbours on its front lie apart, the two objectives scaled to [0, 1]; infinite at ends.

    Args:
        vectors: (n, 2).
        ranks: (n,), as `non_dominated_ranks` has them.

    Returns:
        (n,) float64.
    """
    spread = np.ptp(vectors, axis=0)
    scaled = (vectors - vectors.min(axis=0)) / np.where(spread > 0, spread, 1.0)
    distances = np.full(len(vectors), np.inf)
    for rank in np.unique(ranks):
        members = np.flatnonzero(np.asarray(ranks) == rank)
        # Along a front one objective rises while the other falls, so that one order serves both.
        ordered = members[np.lexsort((-scaled[members, 1], scaled[members, 0]))]
        if len(ordered) > 2:
            distances[ordered[1:-1]] = np.abs(scaled[ordered[2:]] - scaled[ordered[:-2]]).sum(axis=1)
    return distances
