"""What a sampler proposes follows from the seed and from what the study holds, not from who asked when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rdsearch.config.searchfile import SAMPLERS, SearchConfig
from rdsearch.search.study import samplers
from rdsearch.search.study.ledger import Ledger, Proposal
from tests.search.books import Books, make_space

TRIALS = 14
"""More than the ten that Gaussian processes draw at random before they begin to learn, and TPE's five."""


def finish(books: Books, ledger: Ledger, proposal: Proposal) -> None:
    """End a trial with figures that follow from its parameters."""
    rate = float(proposal.parameters["pruning.rate"] or 0)
    rounds = int(proposal.parameters["pruning.rounds"] or 0)
    books.complete(proposal.number, rounds, accuracy=0.95 - rate / rounds)
    ledger.settle(proposal.number)


def proposals(books: Books, ledger: Ledger) -> list[Proposal]:
    found = []
    while (proposal := ledger.propose()) is not None:
        found.append(proposal)
        finish(books, ledger, proposal)
    return found


def uninterrupted(folder: Path, **config: Any) -> list[Proposal]:
    folder.mkdir()
    books = Books(folder, target=TRIALS, constraints={"accuracy_drop": 0.05}, **config)
    return proposals(books, books.open())


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_interrupted_search_proposes_what_an_uninterrupted_one_does(tmp_path: Path, sampler: str) -> None:
    whole = uninterrupted(tmp_path / "whole", sampler=sampler, heuristics=True)
    books = Books(tmp_path, target=TRIALS, sampler=sampler, heuristics=True, constraints={"accuracy_drop": 0.05})
    found: dict[int, Proposal] = {}
    for turn in range(2 * TRIALS):
        ledger = books.open()
        # Killed while a trial runs in every second turn, and after it was told in the others.
        proposal = ledger.propose()
        if proposal is None:
            break
        assert found.setdefault(proposal.number, proposal) == proposal
        if turn % 2:
            finish(books, ledger, proposal)
    assert list(found.values()) == whole


def test_a_search_whose_journal_was_cut_anywhere_proposes_what_it_would_have(tmp_path: Path) -> None:
    whole = uninterrupted(tmp_path / "whole", sampler="tpe")
    lines = (tmp_path / "whole" / "study.journal").read_bytes().splitlines(keepends=True)
    for cut in range(1, 15):  # a trial and a half, line by line
        folder = tmp_path / str(cut)
        folder.mkdir()
        books = Books(folder, target=TRIALS, sampler="tpe", constraints={"accuracy_drop": 0.05})
        books.journal.write_bytes(b"".join(lines[:-cut]))
        found = proposals(books, books.open())
        assert found == whole[-len(found) :]


def test_another_seed_proposes_something_else(tmp_path: Path) -> None:
    one = uninterrupted(tmp_path / "one", sampler="tpe", seed=1)
    two = uninterrupted(tmp_path / "two", sampler="tpe", seed=2)
    assert all(a.parameters != b.parameters for a, b in zip(one, two, strict=True))


def test_tpe_learns_from_its_first_trial_after_the_start_up(tmp_path: Path) -> None:
    found = []
    for better in ("low rates", "high rates"):
        (tmp_path / better).mkdir()
        books = Books(tmp_path / better, target=samplers.TPE_START_UP + 1, sampler="tpe")
        ledger = books.open()
        parameters = []
        while (proposal := ledger.propose()) is not None:
            rate = float(proposal.parameters["pruning.rate"] or 0)
            books.complete(proposal.number, accuracy=0.9 - rate if better == "low rates" else 0.4 + rate)
            ledger.settle(proposal.number)
            parameters.append(proposal.parameters)
        found.append(parameters)
    low, high = found
    assert low[:-1] == high[:-1], "drawn at random"
    assert low[-1] != high[-1]


def test_a_grid_tries_every_combination_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    space = make_space()
    books = Books(tmp_path, target=space.combinations, sampler="grid", heuristics=True)
    found = []
    while len(found) < space.combinations:  # a new run for each trial
        ledger = books.open()
        proposal = ledger.propose()
        assert proposal is not None
        finish(books, ledger, proposal)
        found.append(tuple(proposal.parameters.values()))
    assert books.open().propose() is None
    rates, learning_rates = (0.1, 0.3, 0.5), (1e-4, 1e-2)
    expected = [
        (method, rate, rounds, lr)
        for method in ("global", "erk")
        for rate in rates
        for rounds in (2, 3, 4)
        for lr in learning_rates
    ]
    assert [combination[0] for combination in found] == [combination[0] for combination in expected]
    for column in (1, 2, 3):
        assert [combination[column] for combination in found] == pytest.approx([each[column] for each in expected])


def test_every_trial_draws_for_itself() -> None:
    search = samplers.Setting(SearchConfig(), make_space(), lambda trial: [])
    made: list[int] = []
    sampler = samplers.Reseeded(lambda seed: made.append(seed) or samplers.random(search), 7)  # type: ignore[func-returns-value]

    class Trial:
        def __init__(self, number: int) -> None:
            self.number = number

    for number in (0, 0, 1, 0):
        sampler.infer_relative_search_space(None, Trial(number))  # type: ignore[arg-type]
    assert made[0] == made[2] != made[1]
    assert len(made) == 3
