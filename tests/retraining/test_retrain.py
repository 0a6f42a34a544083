from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rdsearch.compression.checkpoint import Checkpoint
from rdsearch.compression.measure import dense_network
from rdsearch.compression.rounds import compress, rounds
from rdsearch.config.recipe import Recipe
from rdsearch.errors import RdsearchError, TaskError, TrialError
from rdsearch.retraining.retrain import require_finite, retrain
from rdsearch.retraining.settings import RetrainRecipe
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.task import Task
from rdsearch.tasks.training.stepper import Stepper
from tests.tasks.helpers import blobs, seeded_network

CPU = torch.device("cpu")
OPTIONS: dict[str, dict[str, Any]] = {
    "rewind": {"retrain": {"rewind": True}},
    "patience": {"retrain": {"epochs": 3, "patience": 1}},
    "distillation": {"retrain": {"distillation": {"weight": 0.5}}},
    "adam": {"retrain": {"optimizer": "adam", "schedule": "step"}},
    "levels": {"quantization": {"training": {"epochs": 1, "lr": 0.01}}},
    "levels and distillation": {
        "retrain": {"distillation": {"weight": 0.5}},
        "quantization": {"training": {"epochs": 1, "lr": 0.01}},
    },
    "steps": {"quantization": {"step_multipliers": {"0": 2.0}}},
    "everything": {
        "retrain": {
            "epochs": 2,
            "rewind": True,
            "patience": 2,
            "distillation": {"weight": 0.5},
        },
        "quantization": {"training": {"epochs": 1}},
    },
}


@pytest.fixture(scope="module")
def task() -> Task:
    made = Task(
        network=seeded_network,
        train=blobs(),
        validation=60,
        training=TrainingConfig(epochs=6, lr=0.02, batch_size=32),
    )
    made.dense_state()
    return made


def recipe(**sections: dict[str, Any]) -> Recipe:
    retrain = {"epochs": 1, "lr": 0.01, "batch_size": 32, **sections.get("retrain", {})}
    quantization = {"step": 0.3, **sections.get("quantization", {})}
    return Recipe.model_validate(
        {"pruning": {"rounds": 3, "rate": 0.3}, "retrain": retrain, "quantization": quantization}
    )


def settings(**changes: Any) -> RetrainRecipe:
    return recipe(retrain=changes).retrain


@pytest.mark.parametrize("option", OPTIONS)
def test_a_resumed_trial_gives_the_bytes_of_an_uninterrupted_one_and_the_option_matters(
    task: Task, option: str
) -> None:
    made = recipe(**OPTIONS[option])
    whole = list(rounds(task, made, seed=3, device="cpu"))
    for done in (1, 2):
        after = Checkpoint.from_bytes(whole[done - 1][1].to_bytes(), done)
        torch.rand(5)  # the caller's random state is no part of it
        rest = list(rounds(task, made, seed=3, device="cpu", after=after))
        assert [point.data for point, _ in rest] == [point.data for point, _ in whole[done:]]
    plain = [point.data for point in compress(task, recipe(), seed=3, device="cpu")]
    assert plain != [point.data for point, _ in whole]


def masks_of(task: Task, density: float) -> dict[str, torch.Tensor]:
    network = dense_network(task)
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(weight.shape, generator=generator) < density
        for name, weight in network.named_parameters()
        if weight.dim() > 1
    }


def test_every_option_trains_in_half_precision(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: the forward pass in bfloat16, parameters and gradients in float32."""
    monkeypatch.setattr(Stepper, "_precision", lambda self: torch.autocast("cpu", dtype=torch.bfloat16))
    masks = masks_of(task, 0.6)
    half, full = dense_network(task), dense_network(task)
    for network in (half, full):
        retrain(network, task, recipe(**OPTIONS["everything"]).retrain, masks, seed=4, device=CPU)
        monkeypatch.undo()
    assert all(value.dtype != torch.bfloat16 for value in half.state_dict().values())
    assert not torch.equal(full.get_parameter("0.weight"), half.get_parameter("0.weight"))
    assert task.score(half) > task.score(full) - 0.1
    for name, mask in masks.items():
        assert not half.get_parameter(name)[~mask].any()


def test_rewinding_forgets_everything_but_the_masks(task: Task) -> None:
    masks = masks_of(task, 0.5)
    states = []
    for start in (dense_network(task), seeded_network(9)):
        retrain(start, task, settings(rewind=True), masks, seed=4, device=CPU)
        states.append(start.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    dense = task.dense_state()
    rewound = seeded_network(9)
    retrain(rewound, task, settings(rewind=True, epochs=0), masks, seed=4, device=CPU)
    for name, value in rewound.state_dict().items():
        expected = dense[name] * masks[name].numpy() if name in masks else dense[name]
        np.testing.assert_array_equal(value.numpy(), expected)


@pytest.mark.parametrize("option", OPTIONS)
def test_pruned_weights_stay_zero_under_every_option(task: Task, option: str) -> None:
    masks = masks_of(task, 0.4)
    network = dense_network(task)
    retrain(network, task, recipe(**OPTIONS[option]).retrain, masks, seed=4, device=CPU)
    for name, mask in masks.items():
        assert not network.get_parameter(name)[~mask].any()


def test_early_stopping_looks_at_the_validation_part_alone() -> None:
    seen: list[int] = []

    def score(network: object, batches: Any) -> float:
        seen.append(sum(len(targets) for _, targets in batches))
        return float(len(seen) == 2)  # the second epoch is the best

    def test_split() -> object:
        raise AssertionError("the test split was read")

    task = Task(network=seeded_network(), train=blobs(), validation=60, evaluate=score, test=test_split)
    network = dense_network(task)
    masks = masks_of(task, 1.0)
    retrain(network, task.for_search(), settings(epochs=9, patience=2), masks, seed=1, device=CPU)
    assert seen == [60] * 4
    again = dense_network(task)
    retrain(again, task, settings(epochs=9), masks, seed=1, device=CPU)
    assert not torch.equal(again.get_parameter("0.weight"), network.get_parameter("0.weight"))


def test_a_diverged_retraining_is_an_error_of_the_trial(task: Task) -> None:
    wild = {"lr": 10.0, "optimizer": "sgd", "epochs": 30, "momentum": 0.99, "schedule": "constant"}
    network = dense_network(task)
    with torch.no_grad():
        network.get_parameter("0.weight").fill_(1e38)
    with pytest.raises(RdsearchError, match=r"lower .*l(earning rate|r)"):
        retrain(network, task, settings(**wild), masks_of(task, 1.0), seed=0, device=CPU)


def test_values_that_are_not_finite_after_the_last_step_are_found_and_named(task: Task) -> None:
    network = dense_network(task)
    with torch.no_grad():
        network.get_buffer("1.running_var")[2] = float("inf")
    with pytest.raises(TrialError, match=r"infinite values in 1\.running_var: lower retrain\.lr"):
        retrain(network, task, settings(epochs=0), masks_of(task, 1.0), seed=0, device=CPU)
    with pytest.raises(TrialError, match=r"running_var: lower quantization\.training\.lr, now 0\.5"):
        require_finite(network, 0.5, "quantization.training")


def test_a_diverged_retraining_ends_a_trial_with_a_reason(task: Task) -> None:
    broken = Task(
        network=seeded_network(),
        train=blobs(),
        validation=60,
        loss=lambda output, targets: output.sum() * float("inf"),
    )
    with pytest.raises(TaskError, match="lower the learning rate"):
        list(compress(broken, recipe(), device="cpu"))
