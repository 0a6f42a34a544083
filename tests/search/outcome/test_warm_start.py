"""What a new search takes over from an earlier one: the recipes of its front, where they lie in the new space."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rdsearch.config.searchfile import check_search
from rdsearch.config.space import RecipeSpace
from rdsearch.config.yamlfile import apply_override, read_yaml
from rdsearch.errors import ConfigError, SearchError
from rdsearch.search.api import start
from rdsearch.search.outcome.results import read_results
from rdsearch.search.outcome.warm_start import warm_start
from rdsearch.search.store.folder import SearchFolder
from rdsearch.search.study.heuristics import heuristics
from tests.search.books import Books, make_space

EARLIER = Path(__file__).parents[3] / "results" / "mnist_lenet300_rounds"


def earlier_file() -> dict[str, Any]:
    """The earlier search's file."""
    tree = read_yaml(SearchFolder.open(EARLIER).config)
    return {key: value for key, value in tree.items() if key not in {"name", "id"}}


def space(*overrides: str) -> RecipeSpace:
    """The earlier search's own space, with changes."""
    tree = earlier_file()
    for override in overrides:
        apply_override(tree, override)
    return check_search(tree, source="here", name="changed").space


def test_every_trial_on_the_front_is_taken_over_once_with_its_own_parameters() -> None:
    front = read_results(EARLIER).front
    found = warm_start(EARLIER, space())
    own = [dict(point.parameters) for point in front]
    assert found.skipped == []
    assert all(proposal in own for proposal in found.proposals)
    assert len(found.proposals) == len({point.trial for point in front}) < len(front)
    assert found.proposals[0] == own[0]


def test_what_lies_outside_of_the_new_space_is_left_out_with_the_reason() -> None:
    wide = warm_start(EARLIER, space())
    largest = max(float(proposal["pruning.rate"] or 0) for proposal in wide.proposals)
    middle = sorted(float(proposal["pruning.rate"] or 0) for proposal in wide.proposals)[len(wide.proposals) // 2]
    narrow = warm_start(EARLIER, space(f"recipe.pruning.rate={{float: [0.2, {middle}]}}"))
    assert 0 < len(narrow.proposals) < len(wide.proposals)
    assert len(narrow.proposals) + len(narrow.skipped) == len(wide.proposals)
    assert all(float(proposal["pruning.rate"] or 0) <= middle for proposal in narrow.proposals)
    assert any(f"its pruning.rate is {largest}, and here it is 0.2 to" in line for line in narrow.skipped)


def test_a_setting_that_was_fixed_is_taken_over_where_it_is_searched_now() -> None:
    found = warm_start(EARLIER, space("recipe.retrain.batch_size={choice: [64, 128]}"))
    assert {proposal["retrain.batch_size"] for proposal in found.proposals} == {128}
    groups = 'recipe.pruning.budgets={per_group: {first: "fc1*"}, float: [0.5, 2.0]}'
    assert {proposal["pruning.budgets.fc1*"] for proposal in warm_start(EARLIER, space(groups)).proposals} == {1.0}


@pytest.mark.skipif("RDSEARCH_DATA" not in os.environ, reason="needs the data in RDSEARCH_DATA")
def test_a_new_search_keeps_what_it_took_over_in_its_folder(tmp_path: Path) -> None:
    folder, _ = start(earlier_file(), out=tmp_path / "new", warm_start=EARLIER, console=Console(quiet=True))
    kept = SearchFolder.open(folder.path).read_warm_start()
    assert kept["source"] == str(EARLIER)
    assert kept["proposals"] == warm_start(EARLIER, folder.search_file().space).proposals
    assert kept["proposals"]
    cold, _ = start("digits", out=tmp_path / "cold", console=Console(quiet=True))
    assert cold.read_warm_start() == {}


def test_a_warm_start_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sampler grid tries its own combinations"):
        start("digits_sweep", out=tmp_path / "sweep", warm_start=EARLIER)
    with pytest.raises(SearchError, match="holds no search"):
        start("digits", out=tmp_path / "new", warm_start=tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())


def test_what_was_taken_over_comes_before_the_heuristics(tmp_path: Path) -> None:
    first: list[dict[str, Any]] = [make_space().combination(index) for index in (3, 11)]
    books = Books(tmp_path, heuristics=True, target=8)
    ledger = books.open(first=first)
    found = [ledger.propose() for _ in range(3)]
    assert [proposal.parameters for proposal in found if proposal is not None][:2] == first
    assert found[2] is not None
    assert [found[2].parameters] == heuristics(make_space(), at_most=1)
