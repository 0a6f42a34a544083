"""The log of a search."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest
from rich.console import Console

from rdsearch.base.terminal import say
from rdsearch.base.voice import phase
from rdsearch.search.run.log import Log, OnConsole, TrialLog, worker_lines
from rdsearch.search.store.rounds import Outcome
from tests.search.run.test_progress import point

QUIET = Console(quiet=True)


def test_what_was_said_before_there_was_a_folder_comes_first(tmp_path: Path) -> None:
    folder = tmp_path / "search"
    with Log().listening() as log:
        with phase(QUIET, "loading the network and its data"):
            pass
        folder.mkdir()
        log.into(folder / "search.log")
        say(QUIET, "three trials")
    say(QUIET, "after the run")
    lines = (folder / "search.log").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        "rdsearch: Loading the network and its data …",
        lines[1].split(" ", 2)[2],
        "rdsearch: three trials",
    ]
    assert "loading the network and its data: 0." in lines[1]


def test_a_second_run_writes_below_the_first(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with Log().listening() as log:
            log.into(tmp_path / "search.log")
            say(QUIET, text)
    assert [line.rpartition(" ")[2] for line in (tmp_path / "search.log").read_text().splitlines()] == [
        "first",
        "second",
    ]


def test_a_run_that_never_gets_a_folder_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Log().listening():
        say(QUIET, "loading")
    assert not list(tmp_path.iterdir())
    assert not [one for one in logging.getLogger("ray").handlers if type(one).__name__ == "MemoryHandler"]


def test_trials_rounds_and_lines_of_workers_stand_in_it_without_secrets_or_control_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "abcd-1234")
    trials = TrialLog()
    ray = logging.getLogger("ray")
    monkeypatch.setattr(ray, "level", logging.INFO)
    with Log().listening() as log:
        log.into(tmp_path / "search.log")
        trials.started(7, {"pruning.rate": 0.25})
        trials.stored(point(512, 0.8, trial=7))
        trials.ended(7, Outcome("failed", "no room"))
        worker_lines({"pid": 41, "lines": ["logging in with abcd-1234", "\x1b[2Jgone"]})
        worker_lines({"pid": "autoscaler", "lines": ["nodes"]})
    text = (tmp_path / "search.log").read_text()
    assert "trial 7 begins: pruning.rate=0.25" in text
    assert "trial 7, round 1: 512 bytes, val 0.8000, drop +0.1000, sparsity 0.5000, in 1.00 s" in text
    assert "trial 7: failed, no room" in text
    assert "ray.workers: 41: logging in with <MY_API_KEY>" in text
    assert "\x1b" not in text
    assert "nodes" not in text


def test_verbose_shows_what_otherwise_stands_in_the_log_alone() -> None:
    console = Console(file=io.StringIO(), width=40)
    with OnConsole(console).listening():
        say(console, "said")
        TrialLog().stored(point(512, 0.8, trial=3))
    said, unsaid = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert said == "said"
    assert "trial 3, round 1: 512 bytes" in unsaid


def test_a_finished_search_has_a_log_of_its_phases_and_of_every_round(finished: Path) -> None:
    text = (finished / "search.log").read_text()
    for phase_ in ("loading the network and its data", "trying a round out on a few examples", "starting Ray"):
        assert f"rdsearch: {phase_}: " in text
    assert text.count(", round ") == sum(1 for _ in finished.glob("trials/*/round_*"))
    assert text.count(": complete") == 6
    assert text.splitlines()[-1].endswith("the run has ended: finished")
