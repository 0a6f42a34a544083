"""The driver is killed again and again, and told to stop in every way. `pytest -s` shows the table of kills."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable

import pytest
from optuna.trial import TrialState

from rdsearch.compression.rounds import compress
from rdsearch.search.outcome.results import read_results
from rdsearch.search.store.folder import SearchFolder
from tests.search.driven import PATIENCE, SECONDS, Search, session_folders
from tests.search.paced import SEED, evaluations, paced_task

KILLS, TRIALS, WORKERS = 10, 24, 2

pytestmark = pytest.mark.timeout(2400)


def say(line: str) -> None:
    """For whoever looks on (`pytest -s`)."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def test_ten_kills_of_one_search_lose_nothing_repeat_nothing_and_invent_nothing(search: Search) -> None:
    chance = random.Random(2102)
    say("\n| kill | seconds after the start | rounds stored | complete | running | drafts | bytes of a torn line |")
    say("|---|---|---|---|---|---|---|")
    before: dict[str, bytes] = {}
    for kill in range(1, KILLS + 1):
        new = chance.choice([0, 1, 2, 3, 5])
        with search.driver(TRIALS) as process:
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

    with search.driver(TRIALS) as process:
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
    with search.driver(TRIALS, start_new_session=True) as process:
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
