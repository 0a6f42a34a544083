"""What a search says of itself while it runs."""

from __future__ import annotations

import io
import json
import time
from dataclasses import dataclass

import pytest
from rich.console import Console

from rdsearch.compression.measure import Baseline
from rdsearch.points.point import OperatingPoint
from rdsearch.search.run.progress import Progress
from rdsearch.search.study.constraints import reference_accuracy


@dataclass
class Counts:
    """The part of a ledger that progress reads."""

    target: int = 10
    ended: int = 0
    failed: int = 0


def point(size: int, accuracy: float, trial: int = 0) -> OperatingPoint:
    return OperatingPoint(
        size_bytes=size,
        val_accuracy=accuracy,
        accuracy_drop=0.9 - accuracy,
        compression_ratio=1000 / size,
        sparsity=0.5,
        rate_bits_per_weight=1.0,
        seconds=1.0,
        round=1,
        trial=trial,
    )


def progress(counts: Counts, *, deadline: float | None = None, drop: float = 0.2) -> Progress:
    return Progress(counts, Baseline(0.9, 1024), {"accuracy_drop": drop}, [], deadline)  # type: ignore[arg-type]


def test_line_counts_trials_points_and_the_front() -> None:
    counts = Counts(ended=3, failed=1)
    shown = progress(counts)
    shown.running = 2
    shown.add([point(512, 0.9), point(256, 0.8), point(300, 0.75), point(16, 0.1)])
    line = shown.line()
    assert "3/10 trials done, 2 running, 1 failed" in line
    assert "4 points, 2 on the front" in line
    assert "smallest 256 B" in line


def test_hypervolume_is_the_area_above_the_constraints_floor() -> None:
    shown = progress(Counts())
    shown.add([point(512, 0.9), point(256, 0.8)])
    # One octave at 0.9 - 0.7, and a second one at 0.8 - 0.7.
    assert shown.hypervolume == pytest.approx(1 * 0.2 + 1 * 0.1)


@pytest.mark.parametrize(
    ("constraints", "floor"),
    [({}, 0.0), ({"accuracy_drop": 0.1}, 0.8), ({"val_accuracy": 0.85, "accuracy_drop": 0.1}, 0.85)],
)
def test_reference_accuracy_is_the_tightest_floor(constraints: dict[str, float], floor: float) -> None:
    assert reference_accuracy(0.9, constraints) == pytest.approx(floor)


def test_time_left_follows_the_pace_of_this_run_and_the_deadline() -> None:
    counts = Counts(target=12, ended=2)
    shown = progress(counts)
    assert shown.seconds_left() is None
    shown._started = time.monotonic() - 30
    counts.ended = 5  # three trials in this run: ten seconds each, seven to go
    assert shown.seconds_left() == pytest.approx(70, abs=1)
    limited = progress(counts, deadline=time.monotonic() + 20)
    assert limited.seconds_left() == pytest.approx(20, abs=1)
    counts.ended = 12
    assert shown.seconds_left() is None


def test_the_panel_with_its_plot_fits_a_terminal_of_eighty_columns_whole() -> None:
    counts = Counts(target=10_000, ended=9_999, failed=1_234)
    shown = progress(counts)
    shown.running = 512
    shown._started = time.monotonic() - 86_000
    shown.add([point(100 * k, 0.72 + 0.01 * k, trial=k) for k in range(1, 10)])
    console = Console(file=io.StringIO(), width=80)
    console.print(shown.panel())
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 80
    plot = [line for line in lines if "│" in line]
    assert "".join(plot).count("•") == 9
    assert plot[0].startswith("  0.8100 │")
    assert plot[-1].startswith("  0.7300 │")
    assert len(lines) == 3 + len(plot) + 2 + 5  # nothing was broken


def test_an_event_holds_what_the_line_says() -> None:
    shown = progress(Counts(ended=3))
    shown.add([point(512, 0.9), point(256, 0.8)])
    event = json.loads(json.dumps(shown.event(), allow_nan=False))
    assert (event["ended"], event["target"], event["points"], event["seconds_left"]) == (3, 10, 2, None)
    assert event["front"] == [
        {"size_bytes": 256, "val_accuracy": 0.8},
        {"size_bytes": 512, "val_accuracy": 0.9},
    ]


def test_panel_shows_at_most_a_few_points_with_both_ends_of_the_front() -> None:
    shown = progress(Counts())
    shown.add([point(100 * k, 0.72 + 0.01 * k, trial=k) for k in range(1, 10)])
    console = Console(file=io.StringIO(), width=100)
    console.print(shown.panel())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("drop") == 5
    assert "100 B" in text
    assert "900 B" in text
