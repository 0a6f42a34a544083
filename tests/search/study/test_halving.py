"""Successive halving: who is compared with whom, and who is never stopped."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.config.searchfile import HalvingConfig
from rdsearch.search.study.halving import Halving, crowding, non_dominated_ranks
from tests.search.books import make_point

VECTORS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40)


def slow_ranks(vectors: np.ndarray) -> list[int]:
    """Take the front away again and again."""
    ranks = [-1] * len(vectors)
    rank = 0
    while -1 in ranks:
        left = [place for place, known in enumerate(ranks) if known < 0]
        front = [
            place
            for place in left
            if not any(
                (vectors[other] <= vectors[place]).all() and (vectors[other] < vectors[place]).any() for other in left
            )
        ]
        for place in front:
            ranks[place] = rank
        rank += 1
    return ranks


@given(VECTORS)
def test_ranks_are_those_of_fronts_taken_away_one_after_the_other(found: list[tuple[int, int]]) -> None:
    vectors = np.array(found, dtype=float)
    assert non_dominated_ranks(vectors).tolist() == slow_ranks(vectors)


def test_crowding_is_the_distance_between_neighbours_on_the_same_front() -> None:
    vectors = np.array([[0.0, 4.0], [1.0, 1.0], [2.0, 0.0], [4.0, 4.0]])
    ranks = non_dominated_ranks(vectors)
    assert ranks.tolist() == [0, 0, 0, 1]
    assert crowding(vectors, ranks).tolist() == pytest.approx([math.inf, 2 / 4 + 4 / 4, math.inf, math.inf])


def halving(**changes: int) -> Halving:
    return Halving(HalvingConfig(**{"first_round": 2, "every": 2, "factor": 2, "at_least": 4, **changes}))


def test_the_worse_half_of_a_rung_is_stopped() -> None:
    rungs = halving()
    for number, accuracy in enumerate((0.9, 0.8, 0.7)):
        assert not rungs.stops(number, make_point(2, size=1000 + number, accuracy=accuracy))
    assert rungs.stops(3, make_point(2, size=2000, accuracy=0.6))
    assert not rungs.stops(4, make_point(2, size=1001, accuracy=0.85))


def test_nobody_is_stopped_before_there_is_enough_to_compare_with() -> None:
    rungs = halving(at_least=5)
    assert not any(rungs.stops(number, make_point(2, size=1000 * (number + 1))) for number in range(4))
    assert rungs.stops(4, make_point(2, size=9000))


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, max_size=60))
def test_a_point_on_the_front_of_its_rung_is_never_stopped(found: list[tuple[int, int]]) -> None:
    rungs = halving(at_least=2, factor=50)
    seen: list[tuple[int, int]] = []
    for number, (size, hits) in enumerate(found):
        beaten = any((s <= size and h >= hits and (s, h) != (size, hits)) for s, h in seen)
        stopped = rungs.stops(number, make_point(2, size=size, accuracy=hits / 50))
        seen.append((size, hits))
        assert beaten or not stopped


def test_trials_are_compared_at_the_rungs_alone_and_once() -> None:
    rungs = halving(at_least=2)
    rungs.add(0, make_point(2, size=10, accuracy=0.9))
    rungs.add(1, make_point(2, size=100, accuracy=0.1))
    assert not rungs.stops(1, make_point(2, size=100, accuracy=0.1))
    assert not rungs.stops(2, make_point(3, size=100, accuracy=0.1))
    assert not rungs.stops(3, make_point(2, size=100, accuracy=math.nan))
    assert rungs.stops(4, make_point(2, size=101, accuracy=0.1))
