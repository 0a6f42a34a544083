"""Real searches compared: whose processor time a round is, and where a trial ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.curves import Curve, curve
from benchmarks.real_search import read, steps_of, with_processor_time, write
from rdsearch.compression.measure import Baseline

BASELINE = Baseline(0.98, 100_000)


def rows(*rounds_of_trials: int) -> list[dict[str, float]]:
    return [
        {"trial": trial, "round": round_, "size_bytes": 5000 // round_, "val_accuracy": 0.95}
        for trial, rounds in enumerate(rounds_of_trials)
        for round_ in range(1, rounds + 1)
    ]


def test_a_round_costs_what_its_worker_has_computed_since_the_one_before(tmp_path: Path) -> None:
    log = tmp_path / "scores"
    # The driver scores the dense network; a worker starts, is replaced, and each one's first round says nothing.
    log.write_text(f"{os.getpid()} 9.0\n1001 5.0\n1001 5.5\n1001 6.5\n1002 4.0\n1002 4.75\n")
    measured = with_processor_time(rows(2, 3), log)
    assert [row["seconds"] for row in measured] == [0.75, 0.5, 1.0, 0.75, 0.75]
    with pytest.raises(ValueError):
        with_processor_time(rows(2, 2), log)


def test_steps_add_up_and_the_last_round_of_each_trial_is_known(tmp_path: Path) -> None:
    measured = [row | {"seconds": 0.5} for row in rows(2, 1, 3)]
    write(tmp_path / "kept.csv", measured)
    assert read(tmp_path / "kept.csv") == measured
    steps = steps_of(measured, BASELINE)
    assert [step.seconds for step in steps] == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert [step.last for step in steps] == [False, True, True, False, False, True]


def test_a_curve_counts_feasible_points_from_when_they_were_there() -> None:
    measured = [row | {"seconds": 0.5} for row in rows(2)]
    measured[0]["val_accuracy"] = 0.5
    found = curve(steps_of(measured, BASELINE), BASELINE, {"accuracy_drop": 0.1})
    assert isinstance(found, Curve)
    assert (found.at(0.9), found.reached(1e9)) == (0.0, float("inf"))
    assert found.at(1.0) > 0
    assert found.reached(found.at(1.0)) == 1.0
