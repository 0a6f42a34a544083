import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdsearch.errors import PruningError
from rdsearch.pruning.apportion import apportion


def test_largest_remainders_are_rounded_up():
    # 10 in the proportion 5:3:1 is 5.56, 3.33, 1.11.
    assert apportion([5, 3, 1], [100] * 3, [0] * 3, 10) == [6, 3, 1]


def test_equal_remainders_favour_the_earlier_layer():
    assert apportion([1, 1, 1, 1], [9] * 4, [0] * 4, 6) == [2, 2, 1, 1]


def test_a_full_layer_passes_the_rest_on_in_proportion():
    assert apportion([6, 2, 1], [3, 100, 100], [0] * 3, 12) == [3, 6, 3]


def test_floors_take_from_the_others_in_proportion():
    assert apportion([1, 40, 20], [100] * 3, [4, 0, 0], 34) == [4, 20, 10]


def test_a_share_of_zero_gets_its_floor_only():
    assert apportion([0, 1, 0], [10, 10, 10], [0, 0, 2], 7) == [0, 5, 2]


@pytest.mark.parametrize(("total", "possible"), [(1, "at least 2 and at most 8"), (9, "at least 2 and at most 8")])
def test_impossible_totals_say_what_is_possible(total, possible):
    with pytest.raises(PruningError, match=possible):
        apportion([1, 1, 0], [4, 4, 4], [1, 1, 0], total)


@st.composite
def problems(draw):
    caps = draw(st.lists(st.integers(0, 5000), min_size=1, max_size=12))
    floors = [draw(st.integers(0, min(3, cap))) for cap in caps]
    shares = [draw(st.one_of(st.just(0.0), st.floats(1e-6, 1e6))) for _ in caps]
    highest = sum(cap if share else floor for cap, floor, share in zip(caps, floors, shares, strict=True))
    return shares, caps, floors, draw(st.integers(sum(floors), highest))


@settings(deadline=None)
@given(problems())
def test_counts_meet_the_total_within_the_limits_and_in_proportion(problem):
    shares, caps, floors, total = problem
    counts = apportion(shares, caps, floors, total)
    assert sum(counts) == total
    assert all(floor <= count <= cap for floor, count, cap in zip(floors, counts, caps, strict=True))
    # Between layers that are at no limit, a larger share never has a count that is smaller by more than rounding.
    free = [(s, c) for s, c, f, cap in zip(shares, counts, floors, caps, strict=True) if f < c < cap]
    assert all(c1 <= c2 + 1 for s1, c1 in free for s2, c2 in free if s1 <= s2)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 900), st.integers(0, 50)), min_size=1, max_size=20))
def test_whole_shares_that_meet_the_total_come_back_unchanged(layers):
    counts = [count for count, _ in layers]
    assert apportion(counts, [c + room for c, room in layers], [0] * len(counts), sum(counts)) == counts
