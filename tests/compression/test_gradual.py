from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rdsearch.compression.checkpoint import Checkpoint
from rdsearch.compression.gradual import PRUNINGS, GradualPruning, planned
from rdsearch.compression.rounds import compress, rounds
from rdsearch.config.recipe import Recipe
from rdsearch.errors import PruningError, TaskError
from rdsearch.pruning.prune import prune
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.splits import ArraySplit
from rdsearch.tasks.task import Task
from rdsearch.tasks.training.train import train
from tests.tasks.helpers import blobs, seeded_network

WEIGHTS = 16 * 4 + 16 * 3  # of `seeded_network`


@pytest.fixture(scope="module")
def task() -> Task:
    made = Task(
        network=seeded_network, train=blobs(), validation=60, training=TrainingConfig(epochs=6, lr=0.02, batch_size=32)
    )
    made.dense_state()
    return made


def recipe(gradual: float = 0.6, **changes: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "pruning": {"rounds": 3, "rate": 0.4, "gradual": gradual, **changes.pop("pruning", {})},
            "retrain": {"epochs": 3, "lr": 0.01, "batch_size": 32, **changes},
            "quantization": {"step": 0.3},
        }
    )


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 5000))
def test_the_plan_falls_from_the_first_step_to_the_count_in_the_end(one: int, other: int, steps: int) -> None:
    before, after = max(one, other), min(one, other)
    plan = planned(before, after, steps)
    assert len(plan) == min(PRUNINGS, steps)
    assert sorted(plan) == list(plan)
    assert next(iter(plan)) == 0
    assert max(plan) < steps
    counts = [before, *plan.values()]
    assert all(left >= right for left, right in itertools.pairwise(counts))
    assert counts[-1] == after


def test_the_plan_removes_larger_shares_first() -> None:
    counts = np.array([10**6, *planned(10**6, 1000, 640).values()])
    shares = 1 - counts[1:] / counts[:-1]
    assert (np.diff(shares) < 0).all()


def test_weights_go_while_the_network_trains_and_stay_zero_against_momentum() -> None:
    network = seeded_network()
    weights = {name: network.get_parameter(name) for name in ("0.weight", "3.weight")}
    seen: list[int] = []

    class Watching(GradualPruning):
        def after_step(self, lr: float) -> None:
            super().after_step(lr)
            seen.append(sum(int(torch.count_nonzero(weight)) for weight in weights.values()))

    hook = Watching(weights, None, (WEIGHTS, 30), lambda masks, count, _: prune(weights, masks, count), 40)
    train(network, ArraySplit(*blobs()), TrainingConfig(epochs=9, lr=0.02, batch_size=32), hooks=[hook])
    assert len(seen) > 50
    assert seen[0] > 90
    assert all(left >= right for left, right in itertools.pairwise(seen))
    assert set(seen[39:]) == {30}
    assert hook.masks is not None
    assert all(torch.equal(weight != 0, hook.masks[name]) for name, weight in weights.items())


def test_every_round_ends_with_the_survivors_of_its_schedule(task: Task) -> None:
    sparse = [sum(int(mask.sum()) for mask in after.masks.values()) for _, after in rounds(task, recipe(), seed=1)]
    at_once = [sum(int(mask.sum()) for mask in after.masks.values()) for _, after in rounds(task, recipe(0), seed=1)]
    assert sparse == at_once


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rewind": True},
        {"distillation": {"weight": 0.5}},
        {"pruning": {"method": "surp"}},
        {"pruning": {"method": "rd_prune"}},
    ],
    ids=str,
)
def test_a_resumed_trial_gives_the_same_bytes_and_pruned_weights_are_zero(task: Task, changes: dict[str, Any]) -> None:
    made = recipe(**changes)
    whole = list(rounds(task, made, seed=3, device="cpu"))
    rest = list(rounds(task, made, seed=3, device="cpu", after=Checkpoint.from_bytes(whole[0][1].to_bytes(), 1)))
    assert [point.data for point, _ in rest] == [point.data for point, _ in whole[1:]]
    for _, after in whole:
        assert all(not after.state[name][~mask].any() for name, mask in after.masks.items())
    for (_, before), (_, after) in itertools.pairwise(whole):
        assert all(not (after.masks[name] & ~mask).any() for name, mask in before.masks.items())
    assert [point.data for point in compress(task, recipe(0, **changes), seed=3, device="cpu")] != [
        point.data for point, _ in whole
    ]


def test_a_layer_that_a_budget_empties_goes_at_once(task: Task) -> None:
    made = recipe(pruning={"budgets": {"3*": 0}, "rounds": 1, "rate": 0.6})
    (_, after), *_ = rounds(task, made, seed=1, device="cpu")
    assert not after.masks["3.weight"].any()
    assert sum(int(mask.sum()) for mask in after.masks.values()) == round(0.4 * WEIGHTS)


def test_without_training_all_weights_go_at_once(task: Task) -> None:
    files = [[point.data for point in compress(task, recipe(g, epochs=0), seed=1, device="cpu")] for g in (0, 0.5)]
    assert files[0] == files[1]


def test_patience_which_counts_on_a_rounds_survivors_is_refused_beside_it() -> None:
    with pytest.raises(ValidationError, match=r"pruning\.gradual: does not go with retrain\.patience"):
        recipe(patience=2)
    assert recipe(0.0, patience=2).pruning.gradual == 0


def test_a_plan_of_more_steps_than_there_are_is_finished_at_the_end() -> None:
    network = seeded_network()
    weights = {name: network.get_parameter(name) for name in ("0.weight", "3.weight")}
    hook = GradualPruning(weights, None, (WEIGHTS, 30), lambda masks, count, _: prune(weights, masks, count), 400)
    train(network, ArraySplit(*blobs()), TrainingConfig(epochs=2, lr=0.02, batch_size=32), hooks=[hook])
    assert sum(int(torch.count_nonzero(weight)) for weight in weights.values()) == 30
    assert sum(int(mask.sum()) for mask in (hook.masks or {}).values()) == 30


@pytest.mark.parametrize("examples", [64, 65])
def test_every_round_ends_with_its_survivors_whether_a_single_example_is_left_over(examples: int) -> None:
    task = Task(network=seeded_network, train=blobs(examples), validation=blobs(60, seed=1))
    given = recipe(1.0, batch_size=64, pruning={"rounds": 2})
    counts = [sum(int(mask.sum()) for mask in after.masks.values()) for _, after in rounds(task, given, device="cpu")]
    assert counts == [round(WEIGHTS * 0.6), round(WEIGHTS * 0.36)]


def test_what_the_budgets_leave_no_room_for_is_said_before_anything_is_trained(task: Task) -> None:
    with pytest.raises(PruningError, match="67 survivors are not possible: 0 of 112"):
        next(rounds(task, recipe(pruning={"budgets": {"*": 0}}), device="cpu"))
    with pytest.raises(PruningError, match="67 survivors are not possible: 48 of 112"):
        next(rounds(task, recipe(pruning={"budgets": {"0": 0}}), device="cpu"))


def test_training_that_has_diverged_is_told_to_learn_more_slowly() -> None:
    weight = torch.nn.Parameter(torch.randn(4, 4))
    hook = GradualPruning({"w": weight}, None, (16, 4), lambda masks, count, _: prune({"w": weight}, masks, count), 8)
    hook.before_forward()
    weight.data[1, 1] = torch.nan
    with pytest.raises(TaskError, match=r"NaN or infinite after 1 step.*lower the learning rate"):
        hook.before_forward()
