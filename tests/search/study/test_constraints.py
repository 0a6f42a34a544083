from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.config.searchfile import AT_LEAST, AT_MOST
from rdsearch.search.study.constraints import feasible, nearest_misses, past_hope, violations
from tests.search.books import make_point


@pytest.mark.parametrize("name", AT_MOST)
def test_a_column_bounded_from_above_is_violated_above(name: str) -> None:
    point = make_point(**{name: 3}) if name != "size_bytes" else make_point(size=3)
    assert violations(point, {name: 2})[name] == pytest.approx(1)
    assert violations(point, {name: 5})[name] == pytest.approx(-2)
    assert feasible(point, {name: 3})
    assert not feasible(point, {name: 2})


@pytest.mark.parametrize("name", AT_LEAST)
def test_a_column_bounded_from_below_is_violated_below(name: str) -> None:
    point = make_point(**{name: 3}) if name != "val_accuracy" else make_point(accuracy=3)
    assert violations(point, {name: 5})[name] == pytest.approx(2)
    assert feasible(point, {name: 3})
    assert not feasible(point, {name: 4})


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.integers(0, n), st.just(n))))
def test_a_drop_of_exactly_the_bound_keeps_it_whatever_the_rounding(counts: tuple[int, int, int]) -> None:
    dense, found, examples = counts
    point = make_point(accuracy_drop=dense / examples - found / examples)
    for bound in (float(Fraction(dense - found, examples)), 0.0, 0.01, 0.05):
        kept = Fraction(dense - found, examples) <= Fraction(bound).limit_denominator(10**6)
        assert feasible(point, {"accuracy_drop": bound}) == kept


def test_every_bound_has_to_be_kept() -> None:
    point = make_point(size=1000, accuracy=0.9)
    assert feasible(point, {})
    assert feasible(point, {"size_bytes": 1000, "val_accuracy": 0.9})
    assert not feasible(point, {"size_bytes": 1000, "val_accuracy": 0.91})
    assert list(violations(point, {"sparsity": 0.1, "seconds": 5})) == ["sparsity", "seconds"]


def test_a_figure_that_is_no_number_keeps_no_bound() -> None:
    assert not feasible(make_point(accuracy=math.nan), {"val_accuracy": 0.1})


def test_the_nearest_misses_break_the_bounds_least_in_their_own_units() -> None:
    bounds = {"size_bytes": 1000.0, "accuracy_drop": 0.05}
    far_size = make_point(size=2000, accuracy_drop=0.01)
    near_size = make_point(size=1100, accuracy_drop=0.01)
    near_drop = make_point(size=500, accuracy_drop=0.06)
    both = make_point(size=1100, accuracy_drop=0.06)
    assert nearest_misses([far_size, both, near_drop, near_size], bounds) == [near_size, near_drop, both]
    assert nearest_misses([far_size, near_size], bounds, count=1) == [near_size]
    assert nearest_misses([], bounds) == []


def test_a_trial_is_past_hope_when_so_many_last_rounds_lie_past_the_accuracy() -> None:
    points = [make_point(number, accuracy=accuracy) for number, accuracy in enumerate((0.7, 0.95, 0.7, 0.6), start=1)]
    bounds = {"val_accuracy": 0.8, "size_bytes": 10}  # files that are too large yet become smaller
    assert [past_hope(points[:count], bounds, 1) for count in range(5)] == [False, True, False, True, True]
    assert [past_hope(points[:count], bounds, 2) for count in range(5)] == [False, False, False, False, True]
    assert not past_hope(points, bounds, None)
    assert not past_hope(points, {"size_bytes": 10}, 1)
    assert not past_hope(points, {}, 1)
