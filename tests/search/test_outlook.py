from __future__ import annotations

import json
from pathlib import Path

import pytest

from rdsearch.compression.timing import Timing
from rdsearch.search.outlook import RAY_SECONDS, Outlook
from rdsearch.search.run.cluster import Slots
from tests.commands import Run


def outlook(**changed: object) -> Outlook:
    values: dict[str, object] = {
        "timing": Timing(evaluation=1.0, epoch=2.0, rest=3.0, file_bytes=1000),
        "trials": 10,
        "rounds": 6,
        "slots": Slots(1, 0.0, 4),
        "dense_seconds": 20.0,
        "dense_epochs": 10.0,
        "trial_seconds": 36.0,
        "disk_bytes": 60_000,
        "limit": None,
    }
    return Outlook(**(values | changed))  # type: ignore[arg-type]


def test_trials_go_in_waves() -> None:
    assert outlook().trials_seconds == 3 * 36.0
    assert outlook().seconds == RAY_SECONDS + 20.0 + 108.0
    assert outlook().trials_an_hour == 400


@pytest.mark.parametrize(
    ("trial", "said"), [(0.1, "15 s"), (240.0, "12 min"), (3600.0, "3 h 00 min"), (3750.0, "3 h 10 min")]
)
def test_the_summary_is_no_more_exact_than_it_can_be(trial: float, said: str) -> None:
    assert outlook(trial_seconds=trial, dense_seconds=0.0).summary == f"about {said} for 10 trials here"


def test_a_limit_ends_the_search() -> None:
    assert outlook(limit=60.0).seconds == 60.0
    assert "it stops after 1 min 00 s" in list(outlook(limit=60.0).lines())


def test_lines_name_the_phases() -> None:
    text = "\n".join(outlook().lines())
    assert "training the dense network, 10 epochs: 20.0 s" in text
    assert "10 trials of up to 6 rounds, 4 at a time on 1 core each: 2 min, 400 an hour" in text
    assert "disk: about 60.0 kB" in text
    trained = "\n".join(outlook(dense_seconds=0.0, timing=Timing(1.0, 0.0, 3.0, 1)).lines())
    assert "the dense network is trained already" in trained
    assert "no retraining" in trained


def test_dry_run_says_what_it_takes_and_writes_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = run("search", "digits", "--dry-run", "--trials", 7)
    assert status == 0, err
    assert "7 trials of up to" in out
    assert "for 7 trials here" in out
    assert "nothing was started or written" in out
    assert not list(tmp_path.iterdir())
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    status, out, _ = run("search", "digits", "--dry-run", "--trials", 7, "--json")
    *messages, told = [json.loads(line) for line in out.splitlines()]
    assert {entry["event"] for entry in messages} <= {"message", "phase"}
    assert told["event"] == "outlook"
    assert told["trials"] == 7
    assert told["seconds"] > 0
    assert run("search", "digits", "--dry-run", "--out", "taken")[0] == 2
    status, _, err = run("search", "digits", "--dry-run", "--address", "auto")
    assert status == 2
    assert "leave out --address" in err
