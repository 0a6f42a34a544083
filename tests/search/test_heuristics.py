from __future__ import annotations

from typing import Any

import pytest

from rdsearch.search.heuristics import heuristics
from tests.search.books import TREE, make_space


def test_every_method_is_tried_at_a_middle_rate_then_at_low_and_high_ones() -> None:
    space = make_space()
    found = heuristics(space, at_most=100)
    rates = [proposal["pruning.rate"] for proposal in found]
    assert rates == pytest.approx([0.3, 0.3, 0.16, 0.16, 0.44, 0.44])
    assert [proposal["pruning.method"] for proposal in found] == ["global", "erk"] * 3


def test_everything_else_is_at_its_usual_value() -> None:
    space = make_space()
    for proposal in heuristics(space, at_most=100):
        assert set(proposal) == set(space.parameters)
        recipe = space.recipe(proposal)
        assert recipe.pruning.rounds == 3
        assert recipe.retrain.lr == 1e-3


def test_middle_rates_come_first_where_there_is_room_for_few() -> None:
    found = heuristics(make_space(), at_most=3)
    assert [proposal["pruning.method"] for proposal in found] == ["global", "erk", "global"]
    assert len({proposal["pruning.rate"] for proposal in found[:2]}) == 1


def test_a_fixed_method_or_rate_is_no_parameter_of_a_proposal() -> None:
    tree: dict[str, Any] = {"pruning": {"method": "erk", "rate": {"float": [0.1, 0.5]}}}
    assert [list(proposal) for proposal in heuristics(make_space(tree), 10)] == [["pruning.rate"]] * 3
    tree = {"pruning": {"method": TREE["pruning"]["method"]}}
    assert heuristics(make_space(tree), 10) == [{"pruning.method": "global"}, {"pruning.method": "erk"}]
