"""The area that curves add, against the area of all points less the front's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.search.study.curve.area import added_area, staircase

COORDINATES = st.tuples(st.integers(-2, 8).map(lambda each: each / 2), st.integers(-2, 8).map(lambda each: each / 4))


def area(points: list[tuple[float, float]]) -> float:
    """Counted in cells between all the coordinates that there are."""
    firsts, seconds = ({0.0, *(each[axis] for each in points if each[axis] > 0)} for axis in (0, 1))
    xs, ys = sorted(firsts), sorted(seconds)
    return sum(
        (right - left) * (top - bottom)
        for left, right in itertools.pairwise(xs)
        for bottom, top in itertools.pairwise(ys)
        if any(x >= right and y >= top for x, y in points)
    )


@given(st.lists(COORDINATES, max_size=6), st.lists(COORDINATES, min_size=1, max_size=5))
def test_a_curve_adds_what_brute_force_counts(
    front: list[tuple[float, float]], curve: list[tuple[float, float]]
) -> None:
    firsts, seconds = np.array(curve).T
    added = added_area(staircase(front), firsts[None], seconds[None, None])
    assert added[0, 0] == pytest.approx(area([*front, *curve]) - area(front), abs=1e-12)


def test_many_curves_at_once_add_what_each_adds() -> None:
    random = np.random.default_rng(0)
    front = staircase([(float(x), float(y)) for x, y in random.random((7, 2)) * [5, 1]])
    firsts, seconds = random.random((4, 6)) * 6 - 0.5, random.random((3, 4, 6)) - 0.2
    together = added_area(front, firsts, seconds)
    assert together.shape == (3, 4)
    for case in range(3):
        for curve in range(4):
            alone = added_area(front, firsts[curve][None], seconds[case, curve][None, None])
            assert together[case, curve] == pytest.approx(alone[0, 0], abs=1e-12)


def test_nothing_is_added_below_the_front_or_the_reference() -> None:
    front = staircase([(2.0, 1.0), (1.0, 2.0)])
    below = added_area(front, np.array([[0.5, 1.0, 2.0]]), np.array([[[2.0, 2.0, 1.0]]]))
    assert below[0, 0] == 0
    assert added_area(front, np.array([[-1.0, 9.0]]), np.array([[[9.0, -1.0]]]))[0, 0] == 0


def test_without_a_front_a_point_is_worth_its_rectangle() -> None:
    assert added_area(staircase([]), np.array([[3.0]]), np.array([[[0.5]]]))[0, 0] == 1.5
