from __future__ import annotations

import math
import re
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from rdsearch.config.searchfile import SAMPLERS
from rdsearch.errors import SearchError
from rdsearch.search.store.rounds import Outcome
from rdsearch.search.study import ledger as ledger_module
from rdsearch.search.study.heuristics import heuristics
from rdsearch.search.study.ledger import MAX_ATTEMPTS, Ledger, Proposal
from rdsearch.search.study.observations import representative
from tests.search.books import TREE, Books, make_point, make_space


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(tmp_path)


def proposed(ledger: Ledger, count: int) -> list[Proposal]:
    found = [ledger.propose() for _ in range(count)]
    assert None not in found
    return [proposal for proposal in found if proposal is not None]


def states(books: Books) -> list[TrialState]:
    return [trial.state for trial in books.trials()]


def test_proposals_are_numbered_and_lie_in_the_space(books: Books) -> None:
    proposals = proposed(books.open(), 4)
    assert [proposal.number for proposal in proposals] == [0, 1, 2, 3]
    for proposal in proposals:
        assert list(proposal.parameters) == list(make_space().parameters)
        make_space().recipe(proposal.parameters)
    assert len({str(proposal.parameters) for proposal in proposals}) == 4


def test_a_complete_trial_is_told_with_size_and_accuracy(books: Books) -> None:
    ledger = books.open()
    (proposal,) = proposed(ledger, 1)
    books.complete(proposal.number, rounds=2, accuracy=0.8)
    assert ledger.settle(proposal.number)
    (trial,) = books.trials()
    assert (trial.state, trial.values, trial.params) == (TrialState.COMPLETE, [1000.0, 0.8], proposal.parameters)
    assert (ledger.complete, ledger.failed, ledger.ended) == (1, 0, 1)


def test_settling_twice_tells_once(books: Books) -> None:
    ledger = books.open()
    proposed(ledger, 1)
    books.complete(0)
    assert ledger.settle(0)
    assert ledger.settle(0, crashed=True)
    assert (ledger.complete, ledger.failed) == (1, 0)
    assert states(books) == [TrialState.COMPLETE]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("target", [1, 5])
def test_the_target_is_met_exactly_by_every_sampler(tmp_path: Path, sampler: str, target: int) -> None:
    books = Books(tmp_path, target=target, sampler=sampler, heuristics=True, constraints={"accuracy_drop": 0.1})
    ledger = books.open()
    while (proposal := ledger.propose()) is not None:
        make_space().recipe(proposal.parameters)
        books.complete(proposal.number, accuracy=0.9 - 0.1 * proposal.number)
        ledger.settle(proposal.number)
    assert states(books)[:target] == [TrialState.COMPLETE] * target
    assert TrialState.RUNNING not in states(books)
    assert (ledger.ended, ledger.propose()) == (target, None)
    assert books.open().propose() is None


def test_open_trials_count_towards_the_target(books: Books) -> None:
    ledger = books.open(target=2)
    proposed(ledger, 2)
    assert ledger.propose() is None
    books.complete(0)
    ledger.settle(0)
    assert ledger.propose() is None


def test_a_finished_search_goes_on_with_more_trials(books: Books) -> None:
    first = books.open(target=2)
    for proposal in proposed(first, 2):
        books.complete(proposal.number)
        first.settle(proposal.number)
    more = books.open(target=3)
    assert (more.complete, more.target) == (2, 3)
    assert [proposal.number for proposal in proposed(more, 1)] == [2]
    assert more.propose() is None


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_another_run_with_the_same_seed_does_not_propose_the_same_again(tmp_path: Path, sampler: str) -> None:
    books = Books(tmp_path, target=6, sampler=sampler)
    ledger = books.open(target=3)
    before = proposed(ledger, 3)
    for proposal in before:
        books.complete(proposal.number)
        ledger.settle(proposal.number)
    after = proposed(books.open(), 3)
    assert len({str(proposal.parameters) for proposal in before + after}) == 6


def test_the_same_seed_proposes_the_same_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert proposed(Books(tmp_path / "a").open(), 3) == proposed(Books(tmp_path / "b").open(), 3)


def test_interrupted_trials_come_first_under_their_numbers_with_their_parameters(books: Books) -> None:
    before = proposed(books.open(), 3)
    books.publish(1, rounds=1)
    ledger = books.open()
    assert proposed(ledger, 3) == before
    assert proposed(ledger, 1)[0].number == 3


def test_an_interrupted_trial_stays_open(books: Books) -> None:
    ledger = books.open()
    proposed(ledger, 1)
    books.publish(0, rounds=1)
    assert not ledger.settle(0)
    assert states(books) == [TrialState.RUNNING]
    assert ledger.ended == 0
    assert proposed(books.open(), 1)[0].number == 0


def test_a_trial_that_ended_before_it_was_told_is_told_by_the_next_run(books: Books) -> None:
    proposed(books.open(), 1)
    books.complete(0)
    ledger = books.open()
    assert proposed(ledger, 1)[0].number == 0
    assert ledger.settle(0)
    assert states(books) == [TrialState.COMPLETE]


def test_a_worker_that_died_too_often_fails_the_trial_with_its_last_error(books: Books) -> None:
    ledger = books.open()
    proposed(ledger, 2)
    books.publish(0, rounds=1)
    books.store.log_error(0, "Traceback\nMemoryError: no memory")
    assert ledger.settle(0, crashed=True)
    assert ledger.settle(1, crashed=True)
    assert books.store.outcome(0) == Outcome("failed", "MemoryError: no memory")
    assert books.store.outcome(1) == Outcome("failed", "its worker died again and again")
    assert states(books) == [TrialState.FAIL, TrialState.FAIL]
    assert ledger.failed == 2


@pytest.mark.parametrize("accuracy", [math.nan, math.inf])
def test_an_accuracy_that_is_no_number_fails_the_trial(books: Books, accuracy: float) -> None:
    ledger = books.open()
    proposed(ledger, 1)
    books.complete(0, accuracy=accuracy)
    assert ledger.settle(0)
    assert states(books) == [TrialState.FAIL]
    assert ledger.failed == 1


def test_a_trial_without_points_or_with_a_failed_outcome_fails(books: Books) -> None:
    ledger = books.open()
    proposed(ledger, 2)
    books.store.finish(0, Outcome("complete"))
    books.publish(1)
    books.store.finish(1, Outcome("failed", "diverged"))
    assert ledger.settle(0)
    assert ledger.settle(1)
    assert states(books) == [TrialState.FAIL, TrialState.FAIL]


def test_attempts_without_a_new_round_are_capped(books: Books) -> None:
    for _ in range(MAX_ATTEMPTS):
        ledger = books.open()
        assert proposed(ledger, 1)[0].number == 0
        ledger.started(0)
    ledger = books.open()
    assert proposed(ledger, 1)[0].number == 1
    assert books.store.outcome(0) == Outcome("failed", f"gave up after {MAX_ATTEMPTS} attempts")
    assert states(books) == [TrialState.FAIL, TrialState.RUNNING]


def test_a_new_round_starts_the_count_of_attempts_again(books: Books) -> None:
    for round_ in range(1, MAX_ATTEMPTS + 4):
        ledger = books.open()
        assert proposed(ledger, 1)[0].number == 0
        ledger.started(0)
        books.publish(0, rounds=round_)
    assert states(books) == [TrialState.RUNNING]


def test_interruptions_that_are_no_crashes_do_not_count(books: Books) -> None:
    for _ in range(2 * MAX_ATTEMPTS):
        ledger = books.open()
        assert [proposal.number for proposal in proposed(ledger, 2)] == [0, 1]
        ledger.started(0)  # and 1 was only proposed
        ledger.interrupted()
    for _ in range(MAX_ATTEMPTS):
        ledger = books.open()
        assert proposed(ledger, 1)[0].number == 0
        ledger.started(0)
    assert proposed(books.open(), 1)[0].number == 1


def test_a_proposal_and_a_result_each_wait_for_the_disk_once(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = books.open()
    flushed: list[int] = []
    monkeypatch.setattr("rdsearch.search.store.journal.os.fsync", flushed.append)
    proposed(ledger, 1)
    assert len(flushed) == 1
    books.complete(0)
    flushed.clear()
    ledger.settle(0)
    assert len(flushed) == 1


def test_a_journal_that_is_damaged_inside_is_a_clear_error_and_stays_as_it_is(books: Books) -> None:
    ledger = books.open()
    for proposal in proposed(ledger, 2):
        books.complete(proposal.number)
        ledger.settle(proposal.number)
    lines = books.journal.read_bytes().splitlines(keepends=True)
    for garbage in (b"\x00" * 40 + b"\n", b"{\n", b"{}\n", b"[]\n", b'{"op_code": 77, "worker_id": "a"}\n'):
        damaged = b"".join([*lines[: len(lines) // 2], garbage, *lines[len(lines) // 2 :]])
        books.journal.write_bytes(damaged)
        with pytest.raises(SearchError, match=r"study\.journal is damaged: .*; put a copy of it back to go on"):
            books.open()
        assert books.journal.read_bytes() == damaged
    books.journal.write_bytes(b"".join(lines))
    assert books.open().complete == 2


def test_rounds_without_their_journal_are_not_given_to_other_recipes(books: Books) -> None:
    proposed(books.open(), 1)
    books.publish(0)
    books.journal.unlink()
    with pytest.raises(SearchError, match=r"study\.journal is missing or empty, but rounds of this search are stored"):
        books.open()


def test_a_torn_last_line_of_the_journal_loses_nothing_that_was_told(books: Books) -> None:
    ledger = books.open()
    for proposal in proposed(ledger, 2):
        books.complete(proposal.number)
        ledger.settle(proposal.number)
    whole = books.journal.read_bytes()
    with books.journal.open("ab") as file:
        file.write(whole.splitlines()[-1][: len(whole.splitlines()[-1]) // 2])
    again = books.open()
    assert again.complete == 2
    (proposal,) = proposed(again, 1)
    books.complete(proposal.number)
    assert again.settle(proposal.number)
    assert states(books) == [TrialState.COMPLETE] * 3


@pytest.mark.parametrize("cut", range(1, 12))
def test_whatever_line_the_journal_ends_with_the_search_ends_at_its_target(tmp_path: Path, cut: int) -> None:
    books = Books(tmp_path, target=2, heuristics=True)
    proposed(books.open(), 1)
    lines = books.journal.read_bytes().splitlines(keepends=True)
    books.journal.write_bytes(b"".join(lines[: cut * len(lines) // 12]) + lines[cut * len(lines) // 12][:5])
    ledger = books.open()
    while (proposal := ledger.propose()) is not None:
        books.complete(proposal.number)
        ledger.settle(proposal.number)
    assert [state for state in states(books) if state != TrialState.WAITING] == [TrialState.COMPLETE] * 2


def test_a_stale_lock_of_the_journal_holds_nobody_up(books: Books) -> None:
    proposed(books.open(), 1)
    Path(f"{books.journal}.lock").symlink_to(books.journal)
    started = time.monotonic()
    assert proposed(books.open(), 1)[0].number == 0
    assert time.monotonic() - started < 10


def test_heuristics_come_first(tmp_path: Path) -> None:
    proposals = proposed(Books(tmp_path, target=6, heuristics=True).open(), 3)
    assert [proposal.parameters for proposal in proposals[:2]] == heuristics(make_space(), at_most=2)
    assert proposals[2].parameters not in heuristics(make_space(), at_most=2)


def test_heuristics_take_at_most_half_of_the_trials(tmp_path: Path) -> None:
    books = Books(tmp_path, target=3, heuristics=True)
    books.open()
    assert len(books.trials()) == 1


@pytest.mark.parametrize("survived", [0, 1])
def test_a_crash_while_the_study_is_begun_leaves_no_heuristic_out_and_none_twice(
    tmp_path: Path, survived: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = Books(tmp_path, target=6, heuristics=True)
    enqueue, calls = optuna.Study.enqueue_trial, 0

    def killed(study: optuna.Study, *args: Any, **options: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > survived:
            raise KeyboardInterrupt
        enqueue(study, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "enqueue_trial", killed)
        with pytest.raises(KeyboardInterrupt):
            books.open()
    assert "space" not in books.study().user_attrs
    proposals = proposed(books.open(), 4)
    waiting = [trial for trial in books.trials() if "fixed_params" in trial.system_attrs]
    assert len(waiting) == 2
    assert [proposal.parameters["pruning.method"] for proposal in proposals[:2]] == ["global", "erk"]


def test_a_crash_between_enqueueing_and_the_note_of_the_space_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = Books(tmp_path, target=6, heuristics=True)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ledger_module, "_space_text", killed)
        with pytest.raises(KeyboardInterrupt):
            books.open()
    books.open()
    assert len(books.trials()) == 2


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (
            {**TREE, "pruning": {**TREE["pruning"], "rate": {"float": [0.1, 0.6]}}},
            r"pruning\.rate: was .*0\.5.*, is .*0\.6",
        ),
        ({**TREE, "quantization": {"step": {"float": [0.1, 0.2]}}}, r"quantization\.step: was not there, is "),
        ({"pruning": TREE["pruning"]}, r"retrain\.lr: was .*, is not there"),
        ({**TREE, "quantization": {"step": 0.1}}, r"fixed settings: was .*, is .*step"),
    ],
)
def test_a_changed_space_is_refused_with_the_difference(books: Books, tree: dict[str, Any], said: str) -> None:
    books.open()
    with pytest.raises(SearchError, match="the search space has changed since this search began") as error:
        books.open(tree=tree)
    lines = str(error.value).splitlines()
    assert any(re.search(said, line) for line in lines[1:-1])
    assert "start a new search in another folder" in lines[-1]
    assert books.open().target == 6


def test_constraints_reach_the_study(tmp_path: Path) -> None:
    books = Books(tmp_path, constraints={"accuracy_drop": 0.1, "size_bytes": 1500})
    ledger = books.open()
    proposed(ledger, 2)
    books.complete(0, accuracy=0.9)
    books.complete(1, accuracy=0.5)
    ledger.settle(0)
    ledger.settle(1)
    assert [trial.number for trial in books.study().best_trials] == [0]


def test_a_trial_is_represented_by_its_last_round_within_the_bounds() -> None:
    points = [make_point(number, accuracy=0.9 - 0.1 * number) for number in (1, 2, 3)]
    bounds = {"val_accuracy": 0.65}
    assert representative(points, bounds) == points[1]
    assert representative(points, {}) == points[2]
    assert representative(points, {"val_accuracy": 0.99}) == points[2]
    assert representative([], bounds) is None


def test_a_beaten_trial_is_stopped_for_good_and_told_as_what_it_had(tmp_path: Path) -> None:
    halving = {"first_round": 1, "at_least": 2, "factor": 50}
    books = Books(tmp_path, scheduler="halving", halving=halving)
    ledger = books.open()
    proposed(ledger, 2)
    books.publish(0, rounds=1, accuracy=0.9)
    assert ledger.report(0, 1)
    books.publish(1, rounds=1, accuracy=0.5)
    assert not ledger.report(1, 1)
    outcome = books.store.outcome(1)
    assert outcome is not None
    assert outcome.state == "stopped"
    assert ledger.settle(1)
    assert (states(books), ledger.complete) == ([TrialState.RUNNING, TrialState.COMPLETE], 1)
    assert books.trials()[1].values == [2001.0, 0.5]
    assert ledger.report(1, 1)  # reported once more by a worker that was started again: not judged again


def test_what_trials_had_at_the_rungs_is_known_after_an_interruption(tmp_path: Path) -> None:
    books = Books(tmp_path, scheduler="halving", halving={"first_round": 1, "at_least": 2, "factor": 50})
    ledger = books.open()
    proposed(ledger, 3)
    books.complete(0, accuracy=0.9)
    ledger.settle(0)
    books.publish(1, rounds=1, accuracy=0.5)
    ledger = books.open()
    assert ledger.report(1, 1)  # stored before the interruption, and so judged before it
    books.publish(2, rounds=1, accuracy=0.5)
    assert not ledger.report(2, 1)


def test_without_a_scheduler_every_trial_goes_on(books: Books) -> None:
    ledger = books.open()
    for proposal in proposed(ledger, 6):
        books.publish(proposal.number, rounds=2, accuracy=0.9 / (1 + proposal.number))
        assert ledger.report(proposal.number, 2)
