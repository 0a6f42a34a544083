"""A search that is killed goes on where it was: no round lost, none repeated, none invented."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from rdsearch.search.outcome.results import read_results
from rdsearch.search.run.answer import AT_ONCE, STOPPING
from rdsearch.search.store.folder import SearchFolder
from tests.searches import SPACE

PROMPT_SECONDS = 60
"""An answer comes at once; other work on the machine may hold it up."""
RDSEARCH = str(Path(sys.executable).with_name("rdsearch"))


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(SPACE))
    return path


@contextmanager
def started(*arguments: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen([RDSEARCH, *arguments], stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def published(folder: Path) -> dict[str, bytes]:
    """Content of every published file that never changes again."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for name in ("point.json", "network.rdz")
        for path in sorted(folder.glob(f"trials/*/round_*/{name}"))
    }


def wait_for_rounds(
    folder: Path, count: int, process: subprocess.Popen[bytes], log: Path, seconds: float = 400
) -> None:
    deadline = time.monotonic() + seconds
    while len(list(folder.glob("trials/*/round_*"))) < count:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def trial_states(folder: Path) -> list[TrialState]:
    backend = optuna.storages.journal.JournalFileBackend(str(SearchFolder.open(folder).journal))
    study = optuna.load_study(study_name=None, storage=optuna.storages.JournalStorage(backend))
    return [trial.state for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]


def test_killed_search_keeps_every_reported_round_and_meets_its_target_exactly(
    tmp_path: Path, space_file: Path
) -> None:
    folder, log = tmp_path / "search", tmp_path / "log"
    with started("search", str(space_file), "--out", str(folder), log=log) as process:
        wait_for_rounds(folder, 3, process, log)
        process.kill()
    before = published(folder)

    resumed = subprocess.run([RDSEARCH, "resume", str(folder)], capture_output=True, text=True, timeout=600)

    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    after = published(folder)
    assert before.items() <= after.items()
    assert trial_states(folder) == [TrialState.COMPLETE] * 6
    results = read_results(folder)
    for trial in range(6):
        rounds = [point.round for point in results.points if point.trial == trial]
        wanted = next(point for point in results.points if point.trial == trial).parameters["pruning.rounds"]
        assert rounds == list(range(1, int(wanted or 0) + 1))
    assert results.complete
    assert not results.failed


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_search_ends_gracefully_and_says_how_to_go_on(
    tmp_path: Path, space_file: Path, signal_number: int
) -> None:
    folder, log = tmp_path / "search", tmp_path / "log"
    with started("search", str(space_file), "--out", str(folder), "--trials", "40", log=log) as process:
        wait_for_rounds(folder, 2, process, log)
        os.kill(process.pid, signal_number)
        sent = time.monotonic()
        while STOPPING not in log.read_text():
            assert time.monotonic() < sent + PROMPT_SECONDS, log.read_text()
            time.sleep(0.05)
        if signal_number == signal.SIGINT:
            # A second one does not wait for the workers; what it leaves is the same.
            os.kill(process.pid, signal_number)
        assert process.wait(timeout=400) == 130, log.read_text()
    text = log.read_text()
    assert f"rdsearch resume {folder}" in text.replace("\n", "")
    assert "Traceback" not in text
    assert (AT_ONCE in text) == (signal_number == signal.SIGINT)
    assert len((folder / "front.csv").read_text().splitlines()) > 1, "what was stored is on the front"
    assert json.loads((folder / "manifest.json").read_text())["target"] == 40


def test_finished_search_is_extended_by_more_trials(finished: Path, tmp_path: Path) -> None:
    import shutil

    from rich.console import Console

    import rdsearch

    folder = tmp_path / "extended"
    shutil.copytree(finished, folder)
    before = published(folder)
    rdsearch.resume(folder, trials=8, console=Console(quiet=True))
    assert before.items() <= published(folder).items()
    assert trial_states(folder) == [TrialState.COMPLETE] * 8


def test_a_target_below_what_has_ended_is_refused_and_changes_nothing(finished: Path, tmp_path: Path) -> None:
    import shutil

    from rich.console import Console

    import rdsearch

    folder = tmp_path / "shorter"
    shutil.copytree(finished, folder)
    before = (folder / "config.yaml").read_bytes(), (folder / "manifest.json").read_bytes()
    with pytest.raises(rdsearch.RdsearchError, match="5 is below the 6 trials that this search has ended already"):
        rdsearch.resume(folder, trials=5, console=Console(quiet=True))
    assert before == ((folder / "config.yaml").read_bytes(), (folder / "manifest.json").read_bytes())


def test_second_driver_on_one_folder_gets_a_clear_error(finished: Path) -> None:
    from rdsearch.search.store.lock import FolderLock

    with FolderLock(SearchFolder.open(finished).lock).held():
        second = subprocess.run([RDSEARCH, "resume", str(finished)], capture_output=True, text=True, timeout=400)
    assert second.returncode == 2
    assert f"in use by process {os.getpid()}" in second.stderr
    assert "Traceback" not in second.stderr
