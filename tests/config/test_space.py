from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rdsearch.config.space import Choice, Range, RecipeSpace, load_recipe, parse_space
from rdsearch.errors import ConfigError

NO_RANGE = "must have exactly one of the keys choice, int, float, and has none; a range is {float: [0.1, 0.5]}, say"


def space(tree: dict[str, Any]) -> RecipeSpace:
    found, problems = parse_space(tree, "here")
    assert problems == []
    return found


def problems(tree: dict[str, Any]) -> list[str]:
    return parse_space(tree, "here")[1]


def test_searched_and_fixed_settings_are_told_apart() -> None:
    found = space(
        {
            "pruning": {"method": {"choice": ["global", "erk"]}, "rounds": {"int": [2, 8]}, "skip": ["fc2"]},
            "retrain": {"lr": {"float": [1e-4, 1e-2], "log": True}},
        }
    )
    assert found.parameters == {
        "pruning.method": Choice(("global", "erk")),
        "pruning.rounds": Range(2, 8, integer=True),
        "retrain.lr": Range(1e-4, 1e-2, log=True),
    }
    recipe = found.recipe({"pruning.method": "erk", "pruning.rounds": 3, "retrain.lr": 1e-3})
    assert (recipe.pruning.method, recipe.pruning.rounds, recipe.pruning.skip) == ("erk", 3, ["fc2"])
    assert recipe.retrain.lr == 1e-3


def test_groups_have_a_multiplier_each() -> None:
    budgets = {"per_group": {"a": "conv*", "b": "fc1.weight"}, "float": [0.25, 4.0], "log": True}
    found = space({"pruning": {"budgets": budgets}})
    assert list(found.parameters) == ["pruning.budgets.conv*", "pruning.budgets.fc1.weight"]
    recipe = found.recipe({"pruning.budgets.conv*": 2.0, "pruning.budgets.fc1.weight": 0.5})
    assert recipe.pruning.budgets == {"conv*": 2.0, "fc1.weight": 0.5}


def test_steps_are_searched_a_group_at_a_time_too() -> None:
    steps = {"per_group": {"a": "conv*", "b": "fc*"}, "float": [0.5, 2.0], "log": True}
    found = space({"quantization": {"step_multipliers": steps}})
    assert list(found.parameters) == ["quantization.step_multipliers.conv*", "quantization.step_multipliers.fc*"]
    recipe = found.recipe({"quantization.step_multipliers.conv*": 2.0, "quantization.step_multipliers.fc*": 0.5})
    assert recipe.quantization.step_multipliers == {"conv*": 2.0, "fc*": 0.5}


def test_making_a_recipe_leaves_the_space_as_it_was() -> None:
    found = space({"pruning": {"budgets": {"conv*": {"float": [0.5, 2.0]}, "fc*": 1.0}}})
    first = found.recipe({"pruning.budgets.conv*": 0.5})
    assert found.recipe({"pruning.budgets.conv*": 2.0}).pruning.budgets == {"fc*": 1.0, "conv*": 2.0}
    assert first.pruning.budgets == {"fc*": 1.0, "conv*": 0.5}


def test_a_missing_parameter_is_an_error() -> None:
    with pytest.raises(KeyError, match=r"pruning\.rate"):
        space({"pruning": {"rate": {"float": [0.1, 0.5]}}}).recipe({})


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"rate": {"float": [0.5]}}, "rate: float: [0.5] must be two numbers, [lowest, highest]"),
        ({"rate": {"float": 0.5}}, "rate: float: 0.5 must be two numbers, [lowest, highest]"),
        ({"rate": {"float": [0.1, math.inf]}}, "rate: float: [0.1, inf] must be two numbers, [lowest, highest]"),
        ({"rate": {"float": [True, 0.5]}}, "rate: float: [True, 0.5] must be two numbers, [lowest, highest]"),
        ({"rate": {"float": [0.5, 0.1]}}, "rate: float: the lowest value 0.5 is above the highest 0.1; swap them"),
        (
            {"rate": {"float": [0, 0.1], "log": True}},
            "rate: float: the lowest value 0 must be greater than 0 when log is true",
        ),
        ({"rate": {"float": [0.1, 0.2], "log": 1}}, "rate: log: 1 must be true or false"),
        (
            {"rate": {"float": [0.1, 0.2], "lgo": True}},
            "rate: unknown key 'lgo' beside 'float'. Did you mean 'log'? Allowed are float, log, points.",
        ),
        (
            {"method": {"choice": ["erk"], "log": True}},
            "method: unknown key 'log' beside 'choice': allowed are choice.",
        ),
        (
            {"rate": {"float": [0.1, 0.2], "int": [1, 2]}},
            "rate: must have exactly one of the keys choice, int, float, and has int and float",
        ),
        ({"rounds": {"int": [1.5, 3]}}, "rounds: int: [1.5, 3] must be two whole numbers, [lowest, highest]"),
        ({"method": {"choice": []}}, "method: choice: [] must be a list of at least one value"),
        ({"method": {"choice": "erk"}}, "method: choice: 'erk' must be a list of at least one value"),
        ({"method": {"choice": ["erk", "erk"]}}, "method: choice: ['erk', 'erk'] has a value twice"),
        (
            {"rate": {"choice": [[0.1], 0.2]}},
            "rate: choice: [0.1] must be a single value (text, number, true, false or null)",
        ),
        (
            {"rate": {"float": [0.1, 0.2], "per_group": {"a": "conv*"}}},
            "rate: per_group: only pruning.budgets and quantization.step_multipliers have groups; leave it out here",
        ),
        (
            {"budgets": {"float": [0.5, 2]}},
            'budgets: a range here needs per_group beside it: {per_group: {conv: "conv*"}, float: [0.5, 2]}',
        ),
        (
            {"budgets": {"per_group": {"a": "conv*"}}},
            f"budgets: {NO_RANGE}",
        ),
        *(
            ({"rate": meant}, f"rate: {NO_RANGE}")
            for meant in ({"floot": [0.1, 0.5]}, {"min": 0.1, "max": 0.5}, {"log": True})
        ),
        (
            {"budgets": {"per_group": {"a": 3}, "float": [1, 2]}},
            "budgets: per_group: {'a': 3} must be a mapping of group names to layer patterns",
        ),
        (
            {"budgets": {"per_group": {}, "float": [1, 2]}},
            "budgets: per_group: {} must be a mapping of group names to layer patterns",
        ),
        (
            {"budgets": {"per_group": {"a": "c*", "b": "c*"}, "float": [1, 2]}},
            "budgets: per_group: {'a': 'c*', 'b': 'c*'} has a pattern twice; give each group layers of its own",
        ),
    ],
)
def test_a_wrong_domain_is_explained(section: dict[str, Any], said: str) -> None:
    assert problems({"pruning": section}) == [f"recipe.pruning.{said}"]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"rate": {"float": [0.1, 1.5]}}, "rate: 1.5 must be less than 1"),
        ({"rate": {"float": [-0.1, 0.5]}}, "rate: -0.1 must be at least 0"),
        ({"rounds": {"int": [0, 4]}}, "rounds: 0 must be at least 1"),
        (
            {"method": {"choice": ["global", "ekr"]}},
            "method: unknown pruning method 'ekr'. Did you mean 'erk'? Known are global, uniform, uniform_plus, "
            "erk, lamp, surp, rd_prune",
        ),
        ({"budgets": {"c*": {"float": [-1, 1]}}}, "budgets.c*: -1 must be at least 0"),
    ],
)
def test_a_domain_that_reaches_what_the_recipe_forbids_is_a_mistake(section: dict[str, Any], said: str) -> None:
    assert problems({"pruning": section}) == [f"recipe.pruning.{said}"]


def test_a_float_range_for_a_whole_number_is_a_mistake_though_its_ends_are_whole() -> None:
    (problem,) = problems({"pruning": {"rounds": {"float": [2, 8]}}})
    assert problem.startswith("recipe.pruning.rounds: 4.2")
    assert problem.endswith("must be a whole number")


def test_two_choices_that_exclude_each_other_are_a_mistake() -> None:
    pruning = {"schedule": {"choice": ["constant", "linear"]}, "final_sparsity": {"choice": [0.9, None]}}
    assert problems({"pruning": pruning}) == [
        "recipe.pruning: final_sparsity: is required by schedule 'linear', e.g. 0.95"
    ]


def test_mistakes_in_domains_and_in_fixed_values_come_together() -> None:
    found = problems(
        {
            "pruning": {"rate": {"float": [0.5, 0.1]}, "rounds": 0, "metod": "erk"},
            "retrain": {"lr": {"float": [0.0, 0.1]}, "epochs": {"int": [1, 2, 3]}},
        }
    )
    assert [line.split(": ")[0] for line in found] == [
        "recipe.pruning.rate",
        "recipe.retrain.epochs",
        "recipe.pruning.rounds",
        "recipe.pruning.metod",
        "recipe.retrain.lr",
    ]


valid_sections = {
    "method": st.just("erk") | st.just({"choice": ["global", "surp"]}),
    "schedule": st.sampled_from(["constant", "cubic"]) | st.just({"choice": ["constant", "linear", "one_shot"]}),
    "rounds": st.sampled_from([2, 3]) | st.just({"int": [1, 4]}) | st.just({"float": [1, 4]}),
    "rate": st.sampled_from([0.2, [0.2, 0.3], [0.1, 0.2, 0.3]]) | st.just({"float": [0.1, 0.5]}),
    "final_sparsity": st.sampled_from([None, 0.9]) | st.just({"choice": [None, 0.5]}) | st.just({"float": [0.5, 0.9]}),
}


@given(st.fixed_dictionaries({}, optional=valid_sections))
def test_a_space_without_mistakes_holds_only_valid_recipes(pruning: dict[str, Any]) -> None:
    found, mistakes = parse_space({"pruning": pruning}, "here")
    if mistakes:
        return
    grid = [
        domain.values if isinstance(domain, Choice) else [domain.at(step / 4) for step in range(5)]
        for domain in found.parameters.values()
    ]
    for values in product(*grid):
        found.recipe(dict(zip(found.parameters, values, strict=True)))


bounds = st.floats(1e-6, 1e6)


@given(bounds, bounds, st.booleans(), st.booleans(), st.floats(0, 1))
def test_at_stays_inside_and_rises(a: float, b: float, log: bool, integer: bool, fraction: float) -> None:
    low, high = sorted((math.ceil(a), math.ceil(b)) if integer else (a, b))
    domain = Range(low, high, log, integer)
    assert domain.at(fraction) in domain
    assert domain.at(0) == pytest.approx(low)
    assert domain.at(1) == pytest.approx(high)
    assert domain.at(fraction / 2) <= domain.at(fraction)
    assert isinstance(domain.at(fraction), int if integer else float)


def test_the_middle_of_a_log_range_is_the_geometric_mean() -> None:
    assert Range(1e-4, 1e-2, log=True).at(0.5) == pytest.approx(1e-3)
    assert Range(0.1, 0.5).at(0.5) == pytest.approx(0.3)


@given(st.integers(1, 9), st.floats(0, 1))
def test_at_of_a_choice_is_one_of_its_values(count: int, fraction: float) -> None:
    assert Choice(tuple(range(count))).at(fraction) in range(count)
    assert Choice(tuple(range(count))).at(1.0) == count - 1


def test_domains_read_as_text() -> None:
    assert str(Choice(("a", 2))) == "one of a, 2"
    assert str(Choice((None, True, "a"))) == "one of null, true, a"
    assert str(Range(1, 8, integer=True)) == "whole numbers 1 to 8"
    assert str(Range(0.0001, 0.5, log=True)) == "0.0001 to 0.5, evenly in log"


def test_true_is_no_number_of_a_range() -> None:
    assert True not in Range(0, 2)


def test_load_recipe_takes_values_and_refuses_ranges() -> None:
    assert load_recipe({"pruning": {"rounds": 2}}, "r.yaml").pruning.rounds == 2
    with pytest.raises(ConfigError) as error:
        load_recipe({"pruning": {"rate": {"float": [0.1, 0.5]}}, "retrain": {"epochs": -1}}, "r.yaml")
    assert str(error.value) == (
        "r.yaml: 2 mistakes\n"
        "  - recipe.retrain.epochs: -1 must be at least 0\n"
        "  - recipe.pruning.rate: is a range; one recipe needs one value here"
    )


def test_a_recipe_that_does_not_fit_together_is_refused() -> None:
    found = RecipeSpace({"pruning": {"schedule": "cubic"}}, {})
    with pytest.raises(ValidationError, match="final_sparsity"):
        found.recipe({})


def test_a_grid_takes_evenly_spread_values_with_both_ends_once_each() -> None:
    assert Choice(("a", None)).grid() == ("a", None)
    assert Range(2, 5, integer=True).grid() == (2, 3, 4, 5)
    assert Range(1, 9, integer=True, points=3).grid() == (1, 5, 9)
    assert Range(1, 3, integer=True, points=9).grid() == (1, 2, 3)
    assert Range(0.0, 1.0, points=5).grid() == pytest.approx((0, 0.25, 0.5, 0.75, 1))
    assert Range(1e-4, 1e-2, log=True, points=3).grid() == pytest.approx((1e-4, 1e-3, 1e-2))
    assert Range(0.5, 0.5).grid() == (0.5,)
    assert Range(0.1, 0.5).grid() is None


def test_combinations_are_those_of_a_product_in_the_order_of_the_file() -> None:
    found = space(
        {
            "pruning": {"method": {"choice": ["global", "erk"]}, "rounds": {"int": [2, 4]}},
            "quantization": {"step": {"float": [0.2, 0.8], "points": 2}},
        }
    )
    assert found.combinations == 12
    assert [tuple(found.combination(index).values()) for index in range(12)] == list(
        product(("global", "erk"), (2, 3, 4), (0.2, 0.8))
    )
    for index in (-1, 12):
        with pytest.raises(IndexError):
            found.combination(index)
    assert space({}).combinations == 1
    assert space({"pruning": {"rate": {"float": [0.1, 0.5]}, "rounds": {"int": [1, 2]}}}).without_grid == [
        "pruning.rate"
    ]


@pytest.mark.parametrize("points", [1, 0, True, 2.5, "many"])
def test_a_number_of_values_is_a_whole_number_of_two_or_more(points: Any) -> None:
    (problem,) = problems({"pruning": {"rate": {"float": [0.1, 0.5], "points": points}}})
    assert problem.startswith("recipe.pruning.rate: points: ")
    assert problem.endswith("must be a whole number of at least 2")
