from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdsearch.config.searchfile import SAMPLERS
from rdsearch.search.study.distinct import nearest
from tests.search.books import TREE, Books, make_space

SMALL: dict[str, Any] = {
    "pruning": {"method": {"choice": ["lamp", "erk", "global"]}, "rounds": {"int": [2, 3]}, "rate": 0.3},
    "quantization": {"reestimate_batchnorm": {"choice": [True, False]}},
}


def tried(books: Books, target: int | None = None) -> list[str]:
    ledger, found = books.open(target=target), []
    while (proposal := ledger.propose()) is not None:
        found.append(str(proposal.parameters))
        books.complete(proposal.number, accuracy=0.9)
        ledger.settle(proposal.number)
    return found


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "grid"])
def test_each_recipe_of_a_small_space_is_tried_once_and_then_the_search_ends(tmp_path: Path, sampler: str) -> None:
    books = Books(tmp_path, target=40, tree=SMALL, sampler=sampler, heuristics=True, prefix_observations=True)
    first = tried(books, target=5)
    then = tried(books)
    assert Counter(Counter(first + then).values()) == {1: 12}
    assert tried(books, target=60) == []


def test_recipes_that_are_running_or_have_failed_are_not_proposed_again(tmp_path: Path) -> None:
    tree = {"pruning": {"method": {"choice": ["lamp", "erk", "global"]}}}
    ledger = Books(tmp_path, target=9, tree=tree, sampler="tpe").open()
    running = ledger.propose()
    failed = ledger.propose()
    assert running is not None
    assert failed is not None
    ledger.settle(failed.number, crashed=True)
    last = ledger.propose()
    assert last is not None
    assert len({str(proposal.parameters) for proposal in (running, failed, last)}) == 3
    assert ledger.propose() is None


def test_a_space_without_ranges_is_one_trial(tmp_path: Path) -> None:
    books = Books(tmp_path, target=60, tree={"pruning": {"rounds": 2}}, sampler="tpe", heuristics=True)
    assert tried(books) == ["{}"]


def test_a_range_of_fractions_holds_more_recipes_than_a_search_tries() -> None:
    assert make_space(TREE).recipes is None
    assert make_space(SMALL).recipes == 12


def test_the_nearest_come_first_and_every_recipe_once() -> None:
    space = make_space(SMALL)
    proposal = {"pruning.method": "erk", "pruning.rounds": 2, "quantization.reestimate_batchnorm": True}
    found = list(nearest(proposal, space, np.random.default_rng(0)))
    distances = [sum(repr(other[name]) != repr(proposal[name]) for name in proposal) for other in found]
    assert found[0] == proposal
    assert distances == sorted(distances)
    assert len({str(sorted(other.items())) for other in found}) == 12
