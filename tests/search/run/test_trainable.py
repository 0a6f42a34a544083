"""A trial in a worker: it replays what the store has, goes on from there, and leaves word of how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rdsearch.compression.measure import Baseline, measure_baseline
from rdsearch.config.space import parse_space
from rdsearch.errors import SearchError
from rdsearch.quantization import sensitivity
from rdsearch.quantization.methods import hessian
from rdsearch.search.run.trainable import TrialContext, trial_points
from rdsearch.search.store.rounds import RoundStore
from rdsearch.tasks.task import Task

RECIPE = {
    "pruning": {"method": {"choice": ["global", "surp"]}, "rounds": 3, "rate": 0.4},
    "retrain": {"epochs": 1},
    "quantization": {"calibration": 64},
}
PARAMETERS = {"pruning.method": "surp"}


@pytest.fixture(scope="module")
def baseline(digits_task: Task) -> Baseline:
    return measure_baseline(digits_task)


@pytest.fixture
def context(digits_task: Task, baseline: Baseline, tmp_path: Path) -> TrialContext:
    space, problems = parse_space(RECIPE, "test")
    assert not problems
    return TrialContext(digits_task.for_search(), space, baseline, tmp_path / "trials", seed=1, threads=1)


def test_interrupted_trial_gives_the_same_bytes_as_an_uninterrupted_one(context: TrialContext) -> None:
    store = RoundStore(context.store)
    whole = list(trial_points(context, 0, PARAMETERS, "cpu"))
    interrupted = trial_points(context, 1, PARAMETERS, "cpu")
    next(interrupted)
    interrupted.close()
    assert store.outcome(1) is None
    resumed = list(trial_points(context, 1, PARAMETERS, "cpu"))
    assert [point.round for point in resumed] == [1, 2, 3]
    for one, other in zip(whole, resumed, strict=True):
        assert one.path is not None
        assert other.path is not None
        assert one.path.read_bytes() == other.path.read_bytes()
        assert one.val_accuracy == other.val_accuracy
    assert store.outcome(1) == store.outcome(0)


def test_trial_with_a_damaged_checkpoint_begins_again_and_keeps_what_it_stored(context: TrialContext) -> None:
    whole = list(trial_points(context, 0, PARAMETERS, "cpu"))
    interrupted = trial_points(context, 1, PARAMETERS, "cpu")
    stored = [next(interrupted), next(interrupted)]
    interrupted.close()
    (context.store / "00001" / "round_002" / "checkpoint.safetensors").write_bytes(b"half of a ch")
    resumed = list(trial_points(context, 1, PARAMETERS, "cpu"))
    assert RoundStore(context.store).points(1) == resumed[-3:]
    assert resumed[:2] == stored
    for one, other in zip(whole, resumed[-3:], strict=True):
        assert one.path is not None
        assert other.path is not None
        assert one.path.read_bytes() == other.path.read_bytes()


def test_finished_trial_is_replayed_without_work(context: TrialContext) -> None:
    first = list(trial_points(context, 0, PARAMETERS, "cpu"))
    assert list(trial_points(context, 0, PARAMETERS, "cpu")) == first


def test_trial_that_died_after_its_last_round_is_not_run_again(context: TrialContext) -> None:
    first = list(trial_points(context, 0, PARAMETERS, "cpu"))
    (context.store / "00000" / "outcome.json").unlink()
    assert list(trial_points(context, 0, PARAMETERS, "cpu")) == first
    outcome = RoundStore(context.store).outcome(0)
    assert outcome is not None
    assert outcome.state == "complete"


def test_finished_trial_leaves_no_checkpoint_behind(context: TrialContext) -> None:
    list(trial_points(context, 0, PARAMETERS, "cpu"))
    assert not list(context.store.rglob("*.safetensors"))


def test_error_that_would_come_again_ends_the_trial_with_its_message(digits_task: Task, baseline: Baseline,
                                                                    tmp_path: Path) -> None:  # fmt: skip
    space, _ = parse_space({"pruning": {"budgets": {"nothing*": {"float": [0.5, 2.0]}}}}, "test")
    context = TrialContext(digits_task.for_search(), space, baseline, tmp_path, seed=0, threads=1)
    assert list(trial_points(context, 0, {"pruning.budgets.nothing*": 1.5}, "cpu")) == []
    outcome = RoundStore(tmp_path).outcome(0)
    assert outcome is not None
    assert outcome.state == "failed"
    assert "nothing*" in outcome.message


def test_unexpected_error_is_kept_and_raised_so_that_the_trial_is_tried_again(
    context: TrialContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Task, "score", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(trial_points(context, 0, PARAMETERS, "cpu"))
    store = RoundStore(context.store)
    assert store.outcome(0) is None
    assert store.last_error(0) == "ZeroDivisionError: division by zero"


def test_full_disk_is_worth_another_try(context: TrialContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rdsearch.search.store.places._write", full)
    with pytest.raises(SearchError, match="No space left on device"):
        list(trial_points(context, 0, PARAMETERS, "cpu"))
    assert RoundStore(context.store).outcome(0) is None


def test_trial_whose_accuracy_has_fallen_past_the_constraint_ends_there(context: TrialContext) -> None:
    strict = replace(context, constraints={"accuracy_drop": -2.0}, patience=2)
    assert [point.round for point in trial_points(strict, 0, PARAMETERS, "cpu")] == [1, 2]
    store = RoundStore(context.store)
    outcome = store.outcome(0)
    assert outcome is not None
    assert (outcome.state, outcome.message) == ("stopped", "its accuracy had fallen past the constraint")
    assert not list(context.store.rglob("*.safetensors"))
    # Killed between the round and the note of the end.
    (context.store / "00000" / "outcome.json").unlink()
    assert [point.round for point in trial_points(strict, 0, PARAMETERS, "cpu")] == [1, 2]
    assert store.outcome(0) == outcome


AFTER_TRAINING: dict[str, Any] = {
    "pruning": None,
    "retrain": None,
    "quantization": {
        "method": "hessian",
        "granularity": "sensitivity",
        "step": {"float": [0.5, 4.0]},
        "rate_weight": {"float": [0.0, 0.1]},
        "calibration": 64,
    },
}


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What trials look for in the block."""
    seen: list[str] = []

    def watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            seen.append(name)
            return function(*arguments)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(sensitivity, "sensitivities", watched("sensitivities", sensitivity.sensitivities))
        patch.setattr(hessian, "_observe", watched("moments", hessian._observe))
        yield seen


def files(context: TrialContext, recipe: dict[str, Any]) -> list[bytes]:
    """Of three trials of one worker."""
    space, problems = parse_space(recipe, "test")
    assert not problems
    context = replace(context, space=space, store=Path(context.store).parent / str(context.fingerprint))
    parameters = [
        {name: domain.at(0.2 + 0.3 * number) for name, domain in space.parameters.items()} for number in range(3)
    ]
    points = [point for number, one in enumerate(parameters) for point in trial_points(context, number, one, "cpu")]
    return [point.path.read_bytes() for point in points if point.path is not None]


def test_trials_of_a_worker_share_what_they_find_out_about_the_dense_network(
    context: TrialContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted(monkeypatch) as apart:
        expected = files(context, AFTER_TRAINING)
    assert apart == 3 * ["sensitivities", "moments"]
    with counted(monkeypatch) as shared:
        found = files(replace(context, fingerprint="shared"), AFTER_TRAINING)
    assert shared == ["sensitivities", "moments"]
    assert found == expected
    assert len(set(found)) == 3


def test_trials_that_look_at_other_inputs_or_other_networks_share_nothing(
    context: TrialContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    others: list[dict[str, Any]] = [
        AFTER_TRAINING | {"quantization": AFTER_TRAINING["quantization"] | {"calibration": {"int": [32, 64]}}},
        AFTER_TRAINING | {"pruning": {"rounds": 1, "rate": {"float": [0.1, 0.5]}}},
        AFTER_TRAINING | {"retrain": {"epochs": 1, "lr": {"float": [1e-4, 1e-3]}}},
    ]
    for number, recipe in enumerate(others):
        with counted(monkeypatch) as seen:
            files(replace(context, fingerprint=f"other {number}"), recipe)
        assert seen == 3 * ["sensitivities", "moments"]


def test_trial_of_a_given_size_finds_out_once_what_holds_for_all_steps(
    context: TrialContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = AFTER_TRAINING | {"quantization": AFTER_TRAINING["quantization"] | {"target_bytes": 3000}}
    with counted(monkeypatch) as seen:
        sizes = [len(data) for data in files(context, recipe)]
    assert seen == 3 * ["sensitivities", "moments"]
    assert all(0 < size <= 3000 for size in sizes)
