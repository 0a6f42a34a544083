"""What the sampler for curves proposes, in plain Optuna studies."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from rdsearch.search.study.curve.curves import Point
from rdsearch.search.study.curve.reported import ReportedCurves, report_point
from rdsearch.search.study.curve.sampler import START_UP, CurveSampler
from rdsearch.search.study.window import Windowed

STEPS = 6
FLOOR = 0.5


def size(step: int, rate: float) -> float:
    return 1000 * (1 - rate) ** step


def accuracy(step: int, rate: float, tuned: float) -> float:
    """Falls the faster, the further ``tuned`` lies from 0.7."""
    gone = -step * math.log2(1 - rate)
    return 1 - 0.004 * math.exp(gone) * (1 + 20 * (tuned - 0.7) ** 2)


def objective(trial: Trial) -> tuple[float, float]:
    rate, tuned = trial.suggest_float("rate", 0.1, 0.6), trial.suggest_float("tuned", 0, 1)
    values = (0.0, 0.0)
    for step in range(1, STEPS + 1):
        values = size(step, rate), accuracy(step, rate, tuned)
        report_point(trial, step, values, seconds=1.0)
        if values[1] < FLOOR:
            break
    return values


def make_study(sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    return optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)


def curves() -> ReportedCurves:
    return ReportedCurves(STEPS, patience=1, reference=(1000.0, FLOOR), log=True)


def hypervolume(study: optuna.Study) -> float:
    area, below = 0.0, FLOOR
    reader = curves()
    points = sorted(
        (
            (point.gain + math.log2(1000), point.quality)
            for trial in study.trials
            for point in reader.points(study, trial)
        ),
        reverse=True,
    )
    for gain, quality in points:
        if quality > below:
            area += gain * (quality - below)
            below = quality
    return area


def test_it_finds_more_than_random_draws_for_the_same_trials() -> None:
    found: dict[str, list[float]] = {}
    for seed in range(3):
        for sampler in (CurveSampler(curves(), seed=seed), optuna.samplers.RandomSampler(seed=seed)):
            study = make_study(sampler)
            study.optimize(objective, n_trials=20)
            found.setdefault(type(sampler).__name__, []).append(hypervolume(study))
    ours, random = found["CurveSampler"], found["RandomSampler"]
    assert all(one > other for one, other in zip(ours, random, strict=True))
    assert np.mean(ours) > 1.02 * np.mean(random)


def test_of_two_curves_alike_the_one_that_takes_less_time_is_proposed() -> None:
    study = make_study(CurveSampler(curves(), seed=0))
    for _ in range(30):
        trial = study.ask()
        rate, slow = trial.suggest_float("rate", 0.1, 0.6), trial.suggest_float("slow", 0, 1)
        for step in range(1, STEPS + 1):
            values = size(step, rate), accuracy(step, rate, 0.7)
            report_point(trial, step, values, seconds=1 + 20 * slow)
        study.tell(trial, values)
    proposed = [trial.params["slow"] for trial in study.trials[START_UP:]]
    assert np.median(proposed) < 0.25


def test_running_trials_count_as_if_they_had_ended() -> None:
    def proposals(running: bool) -> list[dict[str, Any]]:
        study = make_study(CurveSampler(curves(), seed=1))
        study.optimize(objective, n_trials=12)
        ahead = []
        for _ in range(4):
            trial = study.ask()
            ahead.append({name: trial.suggest_float(name, *ends) for name, ends in RANGES.items()})
            if not running:
                study.tell(trial, state=TrialState.FAIL)
        return ahead

    def spread(recipes: list[dict[str, Any]]) -> float:
        return float(np.std([recipe["rate"] for recipe in recipes]) + np.std([recipe["tuned"] for recipe in recipes]))

    assert spread(proposals(running=True)) > spread(proposals(running=False))


RANGES = {"rate": (0.1, 0.6), "tuned": (0.0, 1.0)}


def test_choices_and_the_parameters_that_hang_on_them_are_learnt() -> None:
    def conditional(trial: Trial) -> tuple[float, float]:
        method = trial.suggest_categorical("method", ["bad", "good"])
        rate = trial.suggest_float("rate", 0.1, 0.6)
        tuned = trial.suggest_float("tuned", 0, 1) if method == "good" else 0.0
        for step in range(1, STEPS + 1):
            values = size(step, rate), accuracy(step, rate, tuned)
            report_point(trial, step, values)
        return values

    study = make_study(CurveSampler(curves(), seed=0))
    study.optimize(conditional, n_trials=30)
    late = study.trials[15:]
    good = [trial for trial in late if trial.params["method"] == "good"]
    assert len(good) > 10
    assert abs(np.median([trial.params["tuned"] for trial in good]) - 0.7) < 0.15
    assert all(("tuned" in trial.params) == (trial.params["method"] == "good") for trial in study.trials)


def test_ten_dimensions_of_which_one_matters() -> None:
    def wide(trial: Trial) -> tuple[float, float]:
        for place in range(9):
            trial.suggest_float(f"idle{place}", 0, 1)
        return objective(trial)

    study = make_study(CurveSampler(curves(), seed=0))
    study.optimize(wide, n_trials=40)
    assert abs(np.median([trial.params["tuned"] for trial in study.trials[25:]]) - 0.7) < 0.15


def told(study: optuna.Study, count: int) -> None:
    """Add trials, each of which is a curve of one point."""
    random = np.random.default_rng(0)
    space = {name: optuna.distributions.FloatDistribution(*ends) for name, ends in RANGES.items()}
    trials = []
    for _ in range(count):
        params = {name: float(random.uniform(*ends)) for name, ends in RANGES.items()}
        values = size(STEPS, params["rate"]), accuracy(STEPS, params["rate"], params["tuned"])
        trials.append(create_trial(params=params, distributions=space, values=values))
    study.add_trials(trials)


def test_ten_thousand_trials_take_no_longer_than_a_window_of_them() -> None:
    study = make_study(Windowed(CurveSampler(curves(), seed=0), 100))
    told(study, 10_000)
    study.ask({"rate": optuna.distributions.FloatDistribution(0.1, 0.6)})  # reads all trials once
    started = time.process_time()
    trial = study.ask()
    for name, ends in RANGES.items():
        trial.suggest_float(name, *ends)
    assert time.process_time() - started < 2.0


def test_a_proposal_follows_from_the_study_and_not_from_who_asks() -> None:
    study = make_study(CurveSampler(curves(), seed=5))
    study.optimize(objective, n_trials=14)
    proposed = study.trials[-1].params
    again = make_study(CurveSampler(curves(), seed=5))
    again.add_trials(study.trials[:-1])
    trial = again.ask()
    assert {name: trial.suggest_float(name, *ends) for name, ends in RANGES.items()} == proposed


def test_points_of_constraints_that_are_broken_stay_off_the_front() -> None:
    study = make_study(CurveSampler(curves(), seed=0))
    trial = study.ask()
    trial.suggest_float("rate", 0.1, 0.6)
    trial.set_constraint("bound", 1.0)
    report_point(trial, 1, (500.0, 0.9), seconds=2.0)
    frozen: FrozenTrial = study._storage.get_trial(trial._trial_id)
    assert curves().points(study, frozen) == [Point(1, -math.log2(500), 0.9, 2.0, counts=False)]


def test_a_single_objective_is_maximised_over_curves() -> None:
    study = optuna.create_study(direction="maximize", sampler=CurveSampler(seed=0))
    study.optimize(lambda trial: -((trial.suggest_float("x", 0, 1) - 0.3) ** 2), n_trials=25)
    assert study.best_params["x"] == pytest.approx(0.3, abs=0.03)
