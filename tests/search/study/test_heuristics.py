from __future__ import annotations

from typing import Any

import pytest

from rdsearch.search.study.heuristics import heuristics
from tests.search.books import make_space

METHODS = ["global", "erk", "lamp", "surp"]
TREE: dict[str, Any] = {
    "pruning": {"method": {"choice": METHODS}, "rate": {"float": [0.1, 0.5]}, "rounds": {"int": [4, 7]}},
    "retrain": {"lr": {"float": [1e-4, 1.0], "log": True}},
}


def test_every_allocation_is_tried_once() -> None:
    assert [proposal["pruning.method"] for proposal in heuristics(make_space(TREE), at_most=100)] == METHODS


def test_everything_else_is_spread_evenly_over_its_range() -> None:
    found = heuristics(make_space(TREE), at_most=100)
    assert sorted(proposal["pruning.rate"] for proposal in found) == pytest.approx([0.15, 0.25, 0.35, 0.45])
    assert sorted(proposal["retrain.lr"] for proposal in found) == pytest.approx(
        [10**-3.5, 10**-2.5, 0.1**1.5, 0.1**0.5]
    )
    assert len({proposal["pruning.rounds"] for proposal in found}) > 1


def test_a_heuristic_is_a_recipe_of_the_space() -> None:
    space = make_space(TREE)
    for proposal in heuristics(space, at_most=100):
        assert set(proposal) == set(space.parameters)
        assert space.recipe(proposal).pruning.rate == proposal["pruning.rate"]


def test_no_more_than_asked_for() -> None:
    assert heuristics(make_space(TREE), at_most=3) == heuristics(make_space(TREE), at_most=100)[:3]


def test_where_the_allocation_is_fixed_the_middle_of_the_space_is_tried() -> None:
    tree: dict[str, Any] = {"pruning": {"method": "erk", "rate": {"float": [0.1, 0.5]}}}
    assert heuristics(make_space(tree), 10) == [{"pruning.rate": pytest.approx(0.3)}]


def test_a_space_of_allocations_alone() -> None:
    tree = {"pruning": {"method": {"choice": ["global", "erk"]}}}
    assert heuristics(make_space(tree), 10) == [{"pruning.method": "global"}, {"pruning.method": "erk"}]


def test_steps_are_shared_out_by_sensitivity_where_the_space_leaves_that_open() -> None:
    shared_out = {"granularity": {"choice": ["network", "tensor", "sensitivity"]}, "step": {"float": [0.2, 2.0]}}
    found = heuristics(make_space({**TREE, "quantization": shared_out}), at_most=100)
    assert {proposal["quantization.granularity"] for proposal in found} == {"sensitivity"}
    others = heuristics(make_space({**TREE, "quantization": {"granularity": {"choice": ["network", "tensor"]}}}), 100)
    assert {proposal["quantization.granularity"] for proposal in others} == {"network", "tensor"}


def test_a_space_without_parameters_has_none() -> None:
    assert heuristics(make_space({"pruning": {"method": "erk"}}), 10) == []
