from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.points.front import Front
from rdsearch.points.point import OperatingPoint
from rdsearch.report.axes import log_ticks, size_ticks, tick_label, view


def point(size: int, accuracy: float, test: float | None = None) -> OperatingPoint:
    return OperatingPoint(size, accuracy, 0.0, 1.0, 0.0, 8.0, 1.0, 1, test_accuracy=test)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (400, 12_000, "500 B, 1 kB, 2 kB, 5 kB, 10 kB"),
        (1_000, 10_000_000, "1 kB, 3 kB, 10 kB, 30 kB, 100 kB, 300 kB, 1 MB, 3 MB, 10 MB"),
        (100, 1_000_000_000, "100 B, 1 kB, 10 kB, 100 kB, 1 MB, 10 MB, 100 MB, 1 GB"),
        (4_100, 4_900, "4.2 kB, 4.4 kB, 4.6 kB, 4.8 kB"),
        (3, 8, "3 B, 4 B, 5 B, 6 B, 7 B, 8 B"),
    ],
)
def test_size_ticks_are_round(low: float, high: float, labels: str) -> None:
    assert ", ".join(tick_label(tick) for tick in size_ticks(low, high)) == labels


@given(st.floats(1, 10**9), st.floats(1.02, 10**6))
def test_size_ticks_are_few_rising_whole_and_inside(low: float, ratio: float) -> None:
    ticks = size_ticks(low, low * ratio)
    assert len(ticks) <= 9
    assert ticks == sorted(set(ticks))
    assert all(low <= tick <= low * ratio for tick in ticks)
    if low * (ratio - 1) >= 10:
        assert len(ticks) >= 2


def test_log_ticks_below_one_are_the_decimals_that_people_write() -> None:
    assert log_ticks(0.0009, 0.03) == [0.001, 0.002, 0.005, 0.01, 0.02]
    assert log_ticks(0.0009, 0.03, most=4) == [0.001, 0.003, 0.01, 0.03]
    assert log_ticks(0.0009, 0.03, most=3) == [0.001, 0.01]


def test_the_view_holds_the_front_its_tests_and_the_baseline() -> None:
    front = Front([point(100, 0.90, 0.88), point(400, 0.95)], baseline_accuracy=0.97, baseline_size_bytes=10**6)
    wreck = point(5, 0.1)
    (small, large), (low, high) = view([wreck, point(1000, 0.91), *front], [front])
    assert 90 < small < 100
    assert 1000 < large < 1200
    assert 0.87 < low < 0.88
    assert 0.97 < high < 0.98


def test_the_view_of_nothing_is_finite() -> None:
    (small, large), (low, high) = view([], [Front([], baseline_accuracy=0.9, baseline_size_bytes=10)])
    assert 0 < small < large < math.inf
    assert low < 0.9 < high
