from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rdsearch.config.recipe import Recipe
from rdsearch.pruning import METHODS, SCHEDULES


def recipe(**pruning: Any) -> Recipe:
    return Recipe.model_validate({"pruning": pruning})


def test_defaults_are_a_recipe() -> None:
    assert Recipe.model_validate({}) == Recipe()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_method_goes_with_every_schedule(method: str, schedule: str) -> None:
    assert recipe(method=method, schedule=schedule, final_sparsity=0.9).pruning.method == method


@pytest.mark.parametrize(
    ("pruning", "said"),
    [
        ({"schedule": "cubic"}, "final_sparsity: is required by schedule 'cubic', e.g. 0.95"),
        ({"rate": [0.1, 0.2], "rounds": 3}, "rate: a list of 2 rates for 3 rounds; give one rate a round"),
        ({"rate": 1.0}, "less than 1"),
        ({"rate": []}, "a list of 0 rates for 8 rounds"),
        ({"budgets": {"conv*": -0.1}}, "greater than or equal to 0"),
        ({"method": "globl"}, "Did you mean 'global'"),
    ],
)
def test_what_cannot_be_pruned_so_is_refused(pruning: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        recipe(**pruning)


def test_a_rate_for_each_round_is_kept_as_a_list() -> None:
    assert recipe(rate=[0.1, 0.5], rounds=2).pruning.rate == [0.1, 0.5]


def test_as_dict_makes_the_same_recipe() -> None:
    made = recipe(rate=[0.1, 0.5], rounds=2, budgets={"conv*": 2.0}, skip=["fc2"])
    assert Recipe.model_validate(made.as_dict()) == made


def test_flat_has_every_setting_as_a_scalar_by_its_dotted_name() -> None:
    flat = recipe(rate=[0.1, 0.5], rounds=2, budgets={"conv*": 2.0}).flat()
    assert flat["pruning.rate"] == "[0.1, 0.5]"
    assert flat["pruning.budgets.conv*"] == 2.0
    assert flat["quantization.step"] == 0.2
    assert flat["pruning.final_sparsity"] is None
    assert all(isinstance(value, str | int | float | bool | None) for value in flat.values())


def test_a_cut_recipe_ends_earlier_and_is_valid() -> None:
    cut = recipe(rate=[0.1, 0.5, 0.3], rounds=3).cut(2)
    assert cut == recipe(rate=[0.1, 0.5], rounds=2)
    assert Recipe.model_validate(cut.as_dict()) == cut
    assert recipe(rate=0.3, rounds=5).cut(1) == recipe(rate=0.3, rounds=1)


@pytest.mark.parametrize("schedule", ["linear", "cubic", "one_shot"])
def test_cut_recipe_ends_with_the_survivors_of_the_round_it_was_cut_at(schedule: str) -> None:
    from rdsearch.pruning.schedules import survivors_after

    def survivors(recipe: Recipe, number: int) -> int:
        pruning = recipe.pruning
        return survivors_after(
            266_200,
            number,
            schedule=pruning.schedule,
            rounds=pruning.rounds,
            rate=pruning.rate,
            final_sparsity=pruning.final_sparsity,
        )

    whole = Recipe.model_validate({"pruning": {"schedule": schedule, "rounds": 5, "final_sparsity": 0.93}})
    for last in range(1, 6):
        cut = Recipe.model_validate(whole.cut(last).as_dict())
        assert cut.pruning.rounds == last
        assert [survivors(cut, number) for number in range(1, last + 1)] == [
            survivors(whole, number) for number in range(1, last + 1)
        ]


@pytest.mark.parametrize("pruning", [None, False, "none", {"method": None}, {"method": "none"}, {"rate": 0}])
@pytest.mark.parametrize("retrain", [None, "none", {"epochs": 0}])
def test_every_way_to_say_no_pruning_and_no_retraining_means_the_same(pruning: Any, retrain: Any) -> None:
    quantises = Recipe.model_validate({"pruning": pruning, "retrain": retrain})
    assert quantises == Recipe.model_validate({"pruning": {"rate": 0, "rounds": 1}, "retrain": {"epochs": 0}})
    assert not quantises.pruning.removes


def test_a_rate_of_nothing_takes_one_round_unless_more_are_asked_for() -> None:
    assert recipe(rate=0, schedule="constant").pruning.rounds == 1
    assert recipe(rate=0, rounds=3).pruning.rounds == 3


def test_no_method_and_a_rate_contradict_each_other() -> None:
    with pytest.raises(ValidationError, match="method: none prunes nothing, and rate says how much goes"):
        recipe(method="none", rate=0.3)
