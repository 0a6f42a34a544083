"""What a sampler is shown of a long study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from rdsearch.search.study.window import Windowed, best

DIRECTIONS = [StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE]


def trial(size: float, accuracy: float, violation: float = -1.0) -> FrozenTrial:
    return create_trial(
        values=[size, accuracy],
        params={"x": 0.5},
        distributions={"x": FloatDistribution(0, 1)},
        system_attrs={"constraints": [violation]} if violation else {},
    )


class Watching(RandomSampler):
    """Remembers which trials it could see."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        self.seen = [(seen.number, seen.state) for seen in study._get_trials(deepcopy=False)]
        self.directions = study.directions
        return {}


def shown(sampler: Watching, study: Study) -> list[int]:
    study.ask().suggest_float("x", 0, 1)
    return [number for number, state in sampler.seen if state == TrialState.COMPLETE]


def beaten_by(one: Sequence[float], other: Sequence[float]) -> bool:
    return other[0] <= one[0] and other[1] >= one[1] and tuple(one) != tuple(other)


def test_a_short_study_is_shown_whole() -> None:
    sampler = Watching(seed=0)
    study = optuna.create_study(directions=DIRECTIONS, sampler=Windowed(sampler, 10))
    study.add_trials([trial(k, 0.5) for k in range(10)])
    assert shown(sampler, study) == list(range(10))


def test_a_long_study_is_shown_by_its_front_its_newest_trials_and_those_that_run() -> None:
    sampler = Watching(seed=0)
    study = optuna.create_study(directions=DIRECTIONS, sampler=Windowed(sampler, 20))
    good = [3, 40, 77]
    study.add_trials([trial(1 + k, 0.5 + 0.01 * k) if k in good else trial(500 + k, 0.1) for k in range(200)])
    running = study.ask()
    numbers = shown(sampler, study)
    assert len(numbers) == 20
    assert set(good) <= set(numbers)
    assert set(range(190, 200)) <= set(numbers)
    assert (running.number, TrialState.RUNNING) in sampler.seen
    assert sampler.directions == DIRECTIONS


@pytest.mark.parametrize("complete", [5, 50])
def test_of_many_running_trials_the_newest_are_shown(complete: int) -> None:
    sampler = Watching(seed=0)
    study = optuna.create_study(directions=DIRECTIONS, sampler=Windowed(sampler, 10))
    study.add_trials([trial(k, 0.5) for k in range(complete)])
    running = [study.ask().number for _ in range(25)]
    assert len(shown(sampler, study)) == min(complete, 10)
    alive = [number for number, state in sampler.seen if state == TrialState.RUNNING]
    assert alive == [*running[-9:], running[-1] + 1], "the one that is asked for is the newest of all"


def test_what_is_shown_does_not_depend_on_where_a_run_began() -> None:
    rng = np.random.default_rng(0)
    trials = [trial(*rng.uniform(size=2)) for _ in range(90)]
    whole = Watching(seed=0)
    study = optuna.create_study(directions=DIRECTIONS, sampler=Windowed(whole, 30))
    for member in trials:
        study.add_trial(member)
        study.sampler.infer_relative_search_space(study, study.get_trials(deepcopy=False)[-1])
    resumed = Watching(seed=0)
    Windowed(resumed, 30).infer_relative_search_space(study, study.get_trials(deepcopy=False)[-1])
    assert whole.seen == resumed.seen


values = st.tuples(st.integers(0, 5), st.integers(0, 5)).map(lambda pair: (float(pair[0]), float(pair[1])))


@given(st.lists(values, min_size=1, max_size=25), st.integers(1, 25))
def test_the_best_are_never_beaten_by_one_that_is_left_out(points: list[tuple[float, float]], count: int) -> None:
    trials = [trial(*point) for point in points]
    chosen = best(trials, DIRECTIONS, count)
    assert len(chosen) == min(count, len(trials))
    left = [member for member in trials if not any(member is other for other in chosen)]
    assert not any(beaten_by(one.values, other.values) for one in chosen for other in left)


def test_feasible_trials_come_before_the_others_and_those_by_their_violation() -> None:
    study = optuna.create_study(directions=DIRECTIONS)
    for number, violation in enumerate([0.5, 0.1, -1.0, 0.3]):
        asked = study.ask()
        asked.set_constraint("drop", violation)
        study.tell(asked, [number, 0.5])
    trials = study.get_trials()
    for count, numbers in [(1, [2]), (2, [1, 2]), (3, [1, 2, 3])]:
        assert [member.number for member in best(trials, DIRECTIONS, count)] == numbers


@pytest.mark.parametrize("seed", [0, 1])
def test_an_estimator_proposes_the_same_as_without_a_window_while_that_is_wide_enough(seed: int) -> None:
    def asked(sampler: optuna.samplers.BaseSampler) -> list[float]:
        study = optuna.create_study(directions=DIRECTIONS, sampler=sampler)
        points = np.random.default_rng(5).uniform(size=60)
        distributions = {"x": FloatDistribution(0, 1)}
        study.add_trials([create_trial(values=[x, x], params={"x": x}, distributions=distributions) for x in points])
        return [study.ask().suggest_float("x", 0, 1) for _ in range(2)]

    assert asked(Windowed(TPESampler(seed=seed), 60)) == asked(TPESampler(seed=seed))
