"""Rounds that are told to the study as recipes of their own: exact, once, and never trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from rdsearch.search.study.ledger import Ledger
from rdsearch.search.study.observations import PREFIX_OF, is_prefix
from tests.search.books import TREE, Books


def told(books: Books, ledger: Ledger, number: int, rounds: int) -> None:
    books.complete(number, rounds, accuracy=0.9 - 0.02 * number)
    assert ledger.settle(number)


def prefixes(books: Books) -> list[tuple[list[int], Any, list[float]]]:
    return [
        (trial.user_attrs[PREFIX_OF], trial.params["pruning.rounds"], trial.values)
        for trial in books.trials()
        if is_prefix(trial)
    ]


def in_turn(books: Books, count: int) -> list[dict[str, Any]]:
    """Propose and end trials one by one; their parameters."""
    ledger, found = books.open(), []
    for _ in range(count):
        proposal = ledger.propose()
        assert proposal is not None
        found.append(proposal.parameters)
        told(books, ledger, proposal.number, int(proposal.parameters["pruning.rounds"] or 0))
    return found


def test_each_shorter_recipe_of_the_space_is_told_with_what_its_round_measured(tmp_path: Path) -> None:
    books = Books(tmp_path, sampler="tpe", prefix_observations=True, constraints={"size_bytes": 800})
    parameters = in_turn(books, 4)
    expected = [
        ([number, round_], round_, [2000 // round_ + number, 0.9 - 0.02 * number])
        for number, own in enumerate(parameters)
        for round_ in range(2, own["pruning.rounds"])  # the space begins at 2 rounds
    ]
    assert expected
    assert prefixes(books) == expected
    for trial in books.trials():
        if is_prefix(trial):
            parent = parameters[trial.user_attrs[PREFIX_OF][0]]
            assert trial.params == parent | {"pruning.rounds": trial.params["pruning.rounds"]}
            assert trial.state == TrialState.COMPLETE
            assert (trial.constraints["size_bytes"] <= 0) == (trial.values[0] <= 800)


def test_observations_are_no_trials(tmp_path: Path) -> None:
    books = Books(tmp_path, sampler="tpe", prefix_observations=True, target=5)
    in_turn(books, 3)
    assert prefixes(books)
    ledger = books.open()
    assert (ledger.complete, ledger.failed, ledger.ended) == (3, 0, 3)
    proposal = ledger.propose()
    assert proposal is not None
    assert proposal.number == 3
    again = books.open().propose()  # the trial was interrupted
    assert again == proposal
    ledger = books.open()
    ledger.propose()
    told(books, ledger, 3, 2)
    proposal = ledger.propose()
    assert proposal is not None
    assert proposal.number == 4
    assert ledger.propose() is None


def test_a_crash_between_observations_tells_none_of_them_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    books = Books(tmp_path, sampler="tpe", prefix_observations=True, target=9)
    ledger, number, rounds = books.open(), -1, 0
    while rounds < 4:  # the longest recipe has two shorter ones in the space
        proposal = ledger.propose()
        assert proposal is not None
        number, rounds = proposal.number, int(proposal.parameters["pruning.rounds"] or 0)
        if rounds < 4:
            told(books, ledger, number, rounds)
    before = len(prefixes(books))
    books.complete(number, 4)
    add, calls = optuna.Study.add_trial, 0

    def killed(study: optuna.Study, trial: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        add(study, trial)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "add_trial", killed)
        with pytest.raises(KeyboardInterrupt):
            ledger.settle(number)
    assert len(prefixes(books)) == before + 1
    ledger = books.open()
    proposal = ledger.propose()
    assert proposal is not None
    assert proposal.number == number
    assert ledger.settle(number)
    assert [parent for parent, _, _ in prefixes(books)[before:]] == [[number, 2], [number, 3]]


@pytest.mark.parametrize(
    ("tree", "config"),
    [
        ({"pruning": {**TREE["pruning"], "rounds": 4}}, {}),
        ({"pruning": {**TREE["pruning"], "schedule": "cubic", "final_sparsity": 0.9}}, {}),
        (TREE, {"sampler": "random"}),
        (TREE, {"prefix_observations": False}),
    ],
)
def test_nothing_is_told_where_the_shorter_recipe_is_another_or_nobody_learns_from_it(
    tmp_path: Path, tree: dict[str, Any], config: dict[str, Any]
) -> None:
    books = Books(tmp_path, tree=tree, **{"sampler": "tpe", "prefix_observations": True, **config})
    ledger = books.open()
    for number in range(3):
        ledger.propose()
        told(books, ledger, number, 4)
    assert len(books.trials()) == 3
