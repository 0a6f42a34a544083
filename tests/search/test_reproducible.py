"""With one worker a search proposes the same recipes and finds the same front, whether it was killed or not."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from rdsearch.search.outcome.results import read_results
from tests.search.test_resume import RDSEARCH, started, wait_for_rounds
from tests.searches import SPACE

TRIALS = 13
"""More than the ten that TPE draws at random before it learns."""


def found(folder: Path) -> list[tuple[Any, ...]]:
    """Every operating point but for how long it took."""
    return [
        (point.trial, point.round, point.size_bytes, point.val_accuracy, tuple(point.parameters.items()))
        for point in read_results(folder).points
    ]


def test_killed_and_resumed_search_of_one_worker_finds_what_an_uninterrupted_one_does(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    search = {**SPACE["search"], "trials": TRIALS, "sampler": "tpe", "prefix_observations": True}
    space.write_text(yaml.safe_dump({**SPACE, "search": search, "resources": {"cpu": 1, "concurrent": 1}}))
    whole, killed, log = tmp_path / "whole", tmp_path / "killed", tmp_path / "log"
    done = subprocess.run([RDSEARCH, "search", str(space), "--out", str(whole)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with started("search", str(space), "--out", str(killed), log=log) as process:
        wait_for_rounds(
            killed, 27, process, log, seconds=400
        )  # in the eleventh trial or after it: TPE has begun to learn
        process.kill()
    resumed = subprocess.run([RDSEARCH, "resume", str(killed)], capture_output=True, text=True)
    assert resumed.returncode == 0, resumed.stderr
    assert found(killed) == found(whole)
    assert read_results(whole).complete


def test_beaten_trials_of_a_real_search_are_stopped_and_count(tmp_path: Path) -> None:
    from rich.console import Console

    import rdsearch

    halving = {"first_round": 1, "every": 1, "factor": 50, "at_least": 2}
    search = {"trials": 5, "scheduler": "halving", "halving": halving, "sampler": "random", "heuristics": False}
    search["patience"] = None  # a trial may fall past the constraint: the others alone stop it
    space = {
        **SPACE,
        "recipe": {
            "pruning": {"rounds": 6, "rate": {"float": [0.2, 0.6]}},
            "retrain": {"epochs": 0},
            "quantization": {"step": {"float": [0.2, 0.8]}, "calibration": 64},
        },
        "search": search,
    }
    folder = tmp_path / "search"
    rdsearch.search(space, out=folder, console=Console(quiet=True))
    results = read_results(folder)
    outcomes = [results.folder.store.outcome(trial) for trial in range(5)]
    assert {outcome.state for outcome in outcomes if outcome is not None} == {"complete", "stopped"}
    for trial, outcome in enumerate(outcomes):
        assert outcome is not None
        rounds = [point.round for point in results.points if point.trial == trial]
        assert rounds == list(range(1, len(rounds) + 1))
        assert (len(rounds) == 6) == (outcome.state == "complete")
    assert results.complete
    assert results.finished == 5
    rdsearch.resume(folder, trials=6, console=Console(quiet=True))
    assert read_results(folder).finished == 6
