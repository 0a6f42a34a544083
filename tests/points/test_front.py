from __future__ import annotations

import math
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.errors import RdsearchError, SearchError
from rdsearch.points.front import Front, hypervolume, hypervolume_history, pareto
from rdsearch.points.point import OperatingPoint

DENSE = 4096


def point(size: int, accuracy: float, trial: int | None = 0, round_: int = 1) -> OperatingPoint:
    return OperatingPoint(
        size_bytes=size,
        val_accuracy=accuracy,
        accuracy_drop=0.9 - accuracy,
        compression_ratio=DENSE / size,
        sparsity=0.5,
        rate_bits_per_weight=1.0,
        seconds=1.0,
        round=round_,
        parameters={"pruning.rate": 0.2},
        trial=trial,
    )


def front(*pairs: tuple[int, float], baseline: float = 0.9) -> Front:
    points = [point(size, accuracy, trial) for trial, (size, accuracy) in enumerate(pairs)]
    return Front(points, baseline_accuracy=baseline, baseline_size_bytes=DENSE)


# Few distinct values, so that ties in one or both coordinates are common.
sizes = st.sampled_from([1, 2, 3, 64, 100, 128, 1000, 4096, 5000])
accuracies = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0, math.nan, math.inf, -math.inf])
trials = st.none() | st.integers(0, 3)
points_ = st.lists(st.builds(point, sizes, accuracies, trials, st.integers(1, 3)), max_size=14)
references = {"reference_size": 4096, "reference_accuracy": 0.1}


def slow_pareto(points: list[OperatingPoint]) -> list[OperatingPoint]:
    known = [p for p in points if math.isfinite(p.val_accuracy)]

    def beaten(p: OperatingPoint) -> bool:
        return any(
            q.size_bytes <= p.size_bytes
            and q.val_accuracy >= p.val_accuracy
            and (q.size_bytes, q.val_accuracy) != (p.size_bytes, p.val_accuracy)
            for q in known
        )

    def seniority(p: OperatingPoint) -> tuple[int, int]:
        return (-1 if p.trial is None else p.trial, p.round)

    best: dict[tuple[int, float], OperatingPoint] = {}
    for p in known:
        key = (p.size_bytes, p.val_accuracy)
        if not beaten(p) and (key not in best or seniority(p) < seniority(best[key])):
            best[key] = p
    return sorted(best.values(), key=lambda p: p.size_bytes)


@given(points_)
def test_pareto_is_what_the_definition_says(points: list[OperatingPoint]) -> None:
    assert pareto(points) == slow_pareto(points)


@given(points_)
def test_pareto_is_its_own_front_and_rises_strictly(points: list[OperatingPoint]) -> None:
    found = pareto(points)
    assert pareto(reversed(found)) == found
    assert all(a.size_bytes < b.size_bytes for a, b in pairwise(found))
    assert all(a.val_accuracy < b.val_accuracy for a, b in pairwise(found))


def test_equal_points_are_there_once_and_the_first_trial_and_round_stands_for_them() -> None:
    twins = [point(5, 0.5, 3, 1), point(5, 0.5, 2, 4), point(5, 0.5, 2, 3)]
    (found,) = pareto(twins)
    assert (found.trial, found.round) == (2, 3)


def test_a_point_without_a_trial_comes_before_all_trials() -> None:
    (found,) = pareto([point(5, 0.5, 0), point(5, 0.5, None)])
    assert found.trial is None


def test_no_points_have_an_empty_front() -> None:
    assert pareto([]) == []
    assert pareto([point(5, math.nan)]) == []


def test_pareto_of_a_hundred_thousand_points_is_not_quadratic() -> None:
    many = [point(1_000_000 - k, 1 - k / 200_000, k) for k in range(100_000)]
    start = time.perf_counter()
    assert len(pareto(many)) == 100_000
    assert time.perf_counter() - start < 10


def test_one_points_hypervolume_is_its_rectangle() -> None:
    # 4096 / 512 is three octaves.
    assert hypervolume([point(512, 0.6)], **references) == pytest.approx(3 * 0.5)


def test_a_staircases_hypervolume_is_the_sum_of_its_steps() -> None:
    staircase = [point(512, 0.6), point(128, 0.3), point(2048, 0.9)]
    assert hypervolume(staircase, **references) == pytest.approx(5 * 0.2 + 3 * 0.3 + 1 * 0.3)


def test_halving_every_file_adds_the_best_accuracy_above_the_reference() -> None:
    before = hypervolume([point(512, 0.6), point(128, 0.3)], **references)
    after = hypervolume([point(256, 0.6), point(64, 0.3)], **references)
    assert after - before == pytest.approx(0.5)


@pytest.mark.parametrize("outside", [(4096, 0.9), (9999, 0.9), (100, 0.1), (100, 0.05), (100, math.nan)])
def test_points_outside_the_reference_box_count_nothing(outside: tuple[int, float]) -> None:
    assert hypervolume([point(*outside)], **references) == 0
    inside = [point(512, 0.6), point(128, 0.3)]
    assert hypervolume([*inside, point(*outside)], **references) == hypervolume(inside, **references)


@pytest.mark.parametrize("size", [0, -1, math.nan])
def test_a_reference_size_must_be_above_zero(size: float) -> None:
    with pytest.raises(SearchError, match="must be above 0"):
        hypervolume([], reference_size=size, reference_accuracy=0)


@given(points_, st.builds(point, sizes, accuracies))
def test_adding_a_point_never_lowers_the_hypervolume(points: list[OperatingPoint], new: OperatingPoint) -> None:
    assert hypervolume([*points, new], **references) >= hypervolume(points, **references) - 1e-12


@given(points_)
def test_dominated_points_change_nothing(points: list[OperatingPoint]) -> None:
    worse = [point(p.size_bytes + 1, p.val_accuracy - 0.01) for p in points]
    assert hypervolume([*worse, *points], **references) == hypervolume(points, **references)


@given(points_)
def test_hypervolume_is_the_area_counted_cell_by_cell(points: list[OperatingPoint]) -> None:
    rows, area = sorted({0.1, *(p.val_accuracy for p in points if 0.1 < p.val_accuracy < math.inf)}), 0.0
    for low, high in pairwise(rows):
        reaching = [p.size_bytes for p in points if high <= p.val_accuracy < math.inf]
        area += (high - low) * max([0.0, *(math.log2(4096 / size) for size in reaching)])
    assert hypervolume(points, **references) == pytest.approx(area)


@given(points_)
def test_the_history_is_the_hypervolume_of_every_beginning(points: list[OperatingPoint]) -> None:
    expected = [hypervolume(points[: count + 1], **references) for count in range(len(points))]
    assert hypervolume_history(points, **references) == expected


def test_a_front_is_a_sequence_of_its_undominated_points() -> None:
    given_ = [point(100, 0.5), point(50, 0.4), point(200, 0.45)]
    found = Front(given_, baseline_accuracy=0.9, baseline_size_bytes=DENSE)
    assert list(found) == [given_[1], given_[0]]
    assert len(found) == 2
    assert found[-1] is given_[0]
    assert found[:1] == (given_[1],)
    assert given_[0] in found
    assert given_[2] not in found
    assert found.index(given_[0]) == 1
    assert repr(found) == "Front(2 points, 50 B at 0.4000 to 100 B at 0.5000; dense 4.10 kB at 0.9000)"


PICKS = front((100, 0.80), (200, 0.85), (400, 0.88), (800, 0.89), (1600, 0.91))


@pytest.mark.parametrize(
    ("limits", "size"),
    [
        ({"max_drop": 0.05}, 200),
        ({"max_drop": 0.0}, 1600),
        ({"max_drop": -0.01}, 1600),
        ({"max_drop": 0.5}, 100),
        ({"max_bytes": 800}, 800),
        ({"max_bytes": 799}, 400),
        ({"max_bytes": 10**9}, 1600),
        ({"max_drop": 0.06, "max_bytes": 1000}, 200),
        ({"max_drop": 0.01, "max_bytes": 800}, 800),
    ],
)
def test_pick_finds_the_point(limits: dict[str, float], size: int) -> None:
    assert PICKS.pick(**limits).size_bytes == size  # type: ignore[arg-type]


def test_a_drop_that_is_met_exactly_fits_whatever_floats_make_of_it() -> None:
    exact = point(100, 0.98)
    object.__setattr__(exact, "accuracy_drop", 0.99 - 0.98)
    assert exact.accuracy_drop > 0.01
    assert Front([exact], baseline_accuracy=0.99, baseline_size_bytes=9).pick(max_drop=0.01) is exact


def test_nothing_within_the_size_names_the_smallest_file() -> None:
    with pytest.raises(SearchError, match=r"at most 99 bytes.*the smallest has 100 bytes at a drop of 0\.1000"):
        PICKS.pick(max_bytes=99)


def test_nothing_within_the_drop_names_the_most_accurate_file() -> None:
    with pytest.raises(SearchError, match=r"most accurate has 1600 bytes at a drop of -0\.0100"):
        PICKS.pick(max_drop=-0.02)


def test_nothing_within_both_names_the_nearest_miss_on_each() -> None:
    with pytest.raises(SearchError) as caught:
        PICKS.pick(max_drop=0.02, max_bytes=300)
    assert "at most 300 bytes and a drop of at most 0.02" in str(caught.value)
    assert "the smallest has 400 bytes at a drop of 0.0200" in str(caught.value)
    assert "the most accurate has 200 bytes at a drop of 0.0500" in str(caught.value)


def test_nothing_within_both_when_neither_alone_can_be_met() -> None:
    with pytest.raises(SearchError) as caught:
        PICKS.pick(max_drop=-0.5, max_bytes=1)
    assert "the smallest has 100 bytes" in str(caught.value)
    assert "the most accurate has 1600 bytes" in str(caught.value)


@given(points_, st.none() | st.floats(-1, 0.99), st.none() | st.integers(0, 6000))
def test_pick_fits_or_nothing_does(points: list[OperatingPoint], max_drop: float | None, max_bytes: int | None) -> None:
    found = Front(points, baseline_accuracy=0.9, baseline_size_bytes=DENSE)
    fitting = [
        p
        for p in found
        if (max_drop is None or p.accuracy_drop <= max_drop + 1e-9) and (max_bytes is None or p.size_bytes <= max_bytes)
    ]
    if (max_drop is None and max_bytes is None) or not fitting:
        with pytest.raises(SearchError):
            found.pick(max_drop=max_drop, max_bytes=max_bytes)
    elif max_drop is None:
        assert found.pick(max_bytes=max_bytes) == max(fitting, key=lambda p: p.val_accuracy)
    else:
        best = min(fitting, key=lambda p: p.size_bytes)
        assert found.pick(max_drop=max_drop, max_bytes=max_bytes) == best


def test_pick_with_a_confidence_keeps_the_drop_by_so_many_standard_errors() -> None:
    measured = [point(size, accuracy) for size, accuracy in ((100, 0.85), (200, 0.87), (300, 0.89))]
    front = Front(measured, baseline_accuracy=0.9, baseline_size_bytes=DENSE, n_validation=400)
    assert front.pick(max_drop=0.05).size_bytes == 100
    assert front.pick(max_drop=0.05, confidence=0.5).size_bytes == 100
    error = math.hypot(math.sqrt(0.87 * 0.13 / 400), math.sqrt(0.9 * 0.1 / 400))
    just = NormalDist().cdf(0.02 / error)
    assert front.pick(max_drop=0.05, confidence=just - 0.001).size_bytes == 200
    assert front.pick(max_drop=0.05, confidence=just + 0.001).size_bytes == 300
    with pytest.raises(SearchError, match=r"With a confidence of 0\.9999 drops count larger"):
        front.pick(max_drop=0.05, confidence=0.9999)


@pytest.mark.parametrize(
    "limits", [{"confidence": 0.95}, {"max_drop": 0.1, "confidence": 1.0}, {"max_drop": 0.1, "confidence": 95}]
)
def test_a_confidence_is_a_probability_and_about_a_drop(limits: dict[str, float]) -> None:
    front = Front([point(100, 0.85)], baseline_accuracy=0.9, baseline_size_bytes=DENSE, n_validation=400)
    with pytest.raises(SearchError, match=r"max_drop"):
        front.pick(**limits)


def test_a_confidence_needs_a_standard_error() -> None:
    front = Front([point(100, 0.85)], baseline_accuracy=0.9, baseline_size_bytes=DENSE)
    with pytest.raises(SearchError, match="no known standard error"):
        front.pick(max_drop=0.1, confidence=0.95)


def test_pick_without_a_limit_says_which_there_are() -> None:
    with pytest.raises(SearchError, match=r"max_drop .*max_bytes"):
        PICKS.pick()


def test_a_drop_in_percent_is_refused_with_the_share_to_say() -> None:
    with pytest.raises(SearchError, match=r"for 2 points of accuracy say 0\.02"):
        PICKS.pick(max_drop=2)


def test_a_score_that_is_no_share_may_drop_by_more_than_one() -> None:
    decibels = front((100, 30.0), (200, 33.0), baseline=35.0)
    object.__setattr__(decibels[1], "accuracy_drop", 2.0)
    assert decibels.pick(max_drop=2.5) in decibels


def test_an_empty_front_has_nothing_to_pick() -> None:
    empty = front()
    for choose in (empty.knee, lambda: empty.pick(max_drop=0.1), lambda: empty.within_standard_error(100)):
        with pytest.raises(SearchError, match="the front is empty"):
            choose()
    assert repr(empty) == "Front(0 points)"
    assert empty.hypervolume() == 0


def test_the_knee_of_a_right_angle_is_its_corner() -> None:
    assert front((100, 0.1), (110, 0.85), (10_000, 0.9)).knee().size_bytes == 110


def test_the_knee_counts_sizes_in_octaves() -> None:
    # Heights above the chord: 0.5 - 1/3 at 200 bytes, 0.9 - 2/3 at 400.
    assert front((100, 0.0), (200, 0.5), (400, 0.9), (800, 1.0)).knee().size_bytes == 400


def test_the_knee_of_a_sagging_or_straight_front_is_its_most_accurate_point() -> None:
    assert front((100, 0.0), (200, 0.1), (400, 0.2), (800, 1.0)).knee().size_bytes == 800
    assert front((100, 0.2), (200, 0.4)).knee().size_bytes == 200
    assert front((100, 0.2)).knee().size_bytes == 100


@given(points_, st.integers(2, 9))
def test_the_knee_does_not_depend_on_units(points: list[OperatingPoint], factor: int) -> None:
    found = Front(points, baseline_accuracy=0.9, baseline_size_bytes=DENSE)
    scaled = front(*((p.size_bytes**2 * factor, p.val_accuracy / 2) for p in found))
    heights = []
    if len(found) > 2:
        spread = math.log(found[-1].size_bytes / found[0].size_bytes)
        rise = found[-1].val_accuracy - found[0].val_accuracy
        heights = sorted(
            (p.val_accuracy - found[0].val_accuracy) / rise - math.log(p.size_bytes / found[0].size_bytes) / spread
            for p in found
        )
    # Two points equally far above the chord may swap by rounding.
    if len(heights) > 2 and heights[-1] - heights[-2] > 1e-9:
        assert scaled.index(scaled.knee()) == found.index(found.knee())


def test_within_a_standard_error_is_the_smallest_that_the_validation_part_cannot_tell_apart() -> None:
    # sqrt(0.9 * 0.1 / 100) = 0.03
    found = front((100, 0.86), (200, 0.87), (400, 0.88), (800, 0.9))
    assert found.within_standard_error(100).size_bytes == 200
    assert found.within_standard_error(10).size_bytes == 100
    assert found.within_standard_error(10**8).size_bytes == 800


def test_the_standard_error_needs_a_count_and_a_share() -> None:
    with pytest.raises(SearchError, match="n_validation is 0"):
        PICKS.within_standard_error(0)
    with pytest.raises(SearchError, match="best score on the front is 33"):
        front((100, 33.0)).within_standard_error(100)


def test_a_fronts_hypervolume_is_against_the_dense_network() -> None:
    found = front((512, 0.6), (128, 0.3))
    assert found.hypervolume() == pytest.approx(5 * 0.3 + 3 * 0.3)
    assert found.hypervolume(reference_accuracy=0.1) == pytest.approx(5 * 0.2 + 3 * 0.3)
    assert found.hypervolume(reference_size=1024) == pytest.approx(3 * 0.3 + 1 * 0.3)


def test_to_pandas_has_the_columns_of_front_csv() -> None:
    pytest.importorskip("pandas")
    table = PICKS.to_pandas()
    assert list(table.columns)[:4] == ["point", "size_bytes", "val_accuracy", "test_accuracy"]
    assert list(table.columns)[-1] == "pruning.rate"
    assert table["point"].tolist() == [1, 2, 3, 4, 5]
    assert table["val_accuracy"].tolist() == [p.val_accuracy for p in PICKS]


def test_to_pandas_without_pandas_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(RdsearchError, match=r"pip install 'rdsearch\[pandas\]'"):
        PICKS.to_pandas()


def test_the_front_loads_without_the_heavy_libraries() -> None:
    script = (
        "import sys, rdsearch.points.front, rdsearch.points.table, rdsearch.report.table\n"
        "print({'ray', 'optuna', 'torch', 'pandas', 'plotly', 'matplotlib'} & set(sys.modules))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "set()"
