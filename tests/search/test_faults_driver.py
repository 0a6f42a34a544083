"""The driver is killed again and again, and told to stop in every way. `pytest -s` shows the table of kills."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from rdsearch.compression.rounds import compress
from rdsearch.search.outcome.results import read_results
from rdsearch.search.store.folder import SearchFolder
from rdsearch.search.store.journal import mend
from tests.search.paced import SEED, evaluations, paced_task

ROOT = Path(__file__).parents[2]
KILLS, TRIALS, WORKERS = 10, 24, 2
SECONDS = 0.3
"""Of a round; a trial has three."""
PATIENCE = 400
"""Seconds to wait for what takes a few: Ray runs workers with low priority, so other work holds them up."""

pytestmark = pytest.mark.timeout(2400)


@dataclass(frozen=True)
class Search:
    """A search's folder, and the folder of its faults."""

    folder: Path
    faults: Path

    @contextmanager
    def driver(self, trials: int = TRIALS, **options: object) -> Iterator[subprocess.Popen[bytes]]:
        log = self.faults / "log"
        command = [
            sys.executable,
            str(ROOT / "tests/search/drive.py"),
            *map(str, (self.folder, self.faults, SECONDS, trials)),
        ]
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                **options,  # type: ignore[call-overload]
            )
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()

    @property
    def log(self) -> str:
        return (self.faults / "log").read_text()

    def rounds(self) -> dict[str, bytes]:
        """Every published file, whole."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.glob("trials/*/round_*/*"))
            if path.name in ("point.json", "network.rdz")
        }

    def wait_for_rounds(self, count: int, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE
        while len(list(self.folder.glob("trials/*/round_*"))) < count:
            assert process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def wait_for_lock(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE
        held = f"process {process.pid} "
        while not (self.folder / ".lock").exists() or held not in (self.folder / ".lock").read_text():
            assert process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def states(self) -> list[TrialState]:
        journal = SearchFolder(self.folder).journal
        if not journal.exists():
            return []
        mend(journal)
        storage = JournalStorage(JournalFileBackend(str(journal)))
        if not storage.get_all_studies():
            return []
        study = optuna.load_study(study_name="rdsearch", storage=storage)
        return [trial.state for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]


def say(line: str) -> None:
    """For whoever looks on (`pytest -s`)."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@pytest.fixture
def search(tmp_path: Path) -> Search:
    faults = tmp_path / "faults"
    faults.mkdir()
    return Search(tmp_path / "search", faults)


def session_folders(process: subprocess.Popen[bytes]) -> list[Path]:
    return list(Path("/tmp").glob(f"rdsearch-ray-{process.pid}-*"))  # noqa: S108


def test_ten_kills_of_one_search_lose_nothing_repeat_nothing_and_invent_nothing(search: Search) -> None:
    chance = random.Random(2102)
    say("\n| kill | seconds after the start | rounds stored | complete | running | drafts | bytes of a torn line |")
    say("|---|---|---|---|---|---|---|")
    before: dict[str, bytes] = {}
    for kill in range(1, KILLS + 1):
        new = chance.choice([0, 1, 2, 3, 5])
        with search.driver() as process:
            started = time.monotonic()
            if new:
                search.wait_for_rounds(len(before) // 2 + new, process)
                time.sleep(chance.uniform(0, 2 * SECONDS))
            else:
                search.wait_for_lock(process)
                time.sleep(chance.uniform(0, 5))
            process.kill()
            after = time.monotonic() - started
        journal = SearchFolder(search.folder).journal
        torn = len(journal.read_bytes().rpartition(b"\n")[2]) if journal.exists() else 0
        drafts = len(list(search.folder.glob("trials/*/.round_*")))
        states, stored = search.states(), search.rounds()
        say(
            f"| {kill} | {after:.1f} | {len(stored) // 2} | {states.count(TrialState.COMPLETE)} "
            f"| {states.count(TrialState.RUNNING)} | {drafts} | {torn} |"
        )
        assert before.items() <= stored.items()
        before = stored

    with search.driver() as process:
        assert process.wait(timeout=PATIENCE) == 0, search.log

    stored = search.rounds()
    assert before.items() <= stored.items()
    assert search.states() == [TrialState.COMPLETE] * TRIALS
    results = read_results(search.folder)
    assert results.complete
    assert not results.failed
    numbered = [(point.trial, point.round) for point in results.points]
    assert numbered == [(trial, round_) for trial in range(TRIALS) for round_ in (1, 2, 3)]
    repeated = evaluations(search.faults) - 1 - len(results.points)
    say(f"rounds that were begun again: {repeated}")
    # A kill costs the round that each worker was in, and no more.
    assert repeated <= WORKERS * KILLS

    # What was put together from several runs is what one run without any kill gives.
    task = paced_task(0.0, search.faults)
    space = SearchFolder(search.folder).search_file().space
    for trial in range(TRIALS):
        points = [point for point in results.points if point.trial == trial]
        for point, again in zip(points, compress(task, space.recipe(points[0].parameters), seed=SEED), strict=True):
            assert point.path is not None
            assert point.path.read_bytes() == again.data
            assert point.val_accuracy == again.val_accuracy


# To the process alone SIGTERM and Ctrl-C are tested with the commands.
@pytest.mark.parametrize(
    ("number", "send"),
    [(signal.SIGTERM, os.killpg), (signal.SIGINT, os.killpg), (signal.SIGUSR1, os.kill)],
    ids=["SIGTERM to the group", "SIGINT to the group", "SIGUSR1 to the process"],
)
def test_a_signal_ends_the_run_with_its_last_words(
    search: Search, number: signal.Signals, send: Callable[[int, int], None]
) -> None:
    with search.driver(start_new_session=True) as process:
        search.wait_for_rounds(3, process)
        time.sleep(0.1)
        assert session_folders(process)
        send(process.pid, number)
        assert process.wait(timeout=PATIENCE) == 0, search.log
        assert not session_folders(process)
    assert "interrupted" in search.log
    assert "Traceback" not in search.log
    assert (search.folder / "front.csv").exists()
    states = search.states()
    assert 0 < states.count(TrialState.RUNNING) <= WORKERS + 1
    assert TrialState.FAIL not in states
