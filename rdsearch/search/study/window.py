"""A sampler that looks at a part of the study, so that its time does not grow with the search."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, cast

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState


class Windowed(BaseSampler):
    """Shows another sampler the best and the newest complete trials, and the newest of those that are running.

    A tree-structured Parzen estimator models its best trials (25 at most, by non-dominated rank) against the
    rest, and weighs old trials of the rest down. So half of what it is shown are the best by its own order, and
    half are the newest: the good ones are those of the whole study, and the rest is a sample of it. A running trial
    counts among the rest, so that its like is not proposed again; thousands of them would cost a proposal what
    thousands of complete ones cost, and outweigh these.

    Args:
        sampler: What proposes.
        size: Complete trials that it is shown, and running ones; all of them while there are no more.
    """

    def __init__(self, sampler: BaseSampler, size: int) -> None:
        self._sampler = sampler
        self._size = size
        self._best: list[FrozenTrial] = []
        self._seen: set[int] = set()
        self._made: tuple[int, Study] | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As the other sampler has it."""
        return self._sampler.infer_relative_search_space(self._view_for(study, trial), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the other sampler draws them."""
        return self._sampler.sample_relative(self._view_for(study, trial), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As the other sampler draws it."""
        return self._sampler.sample_independent(self._view_for(study, trial), trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """As the other sampler does."""
        self._sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """As the other sampler does."""
        self._sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """As the other sampler does."""
        self._sampler.reseed_rng()

    def _view_for(self, study: Study, trial: FrozenTrial) -> Study:
        # A trial is asked for several times, and each look at the whole study takes a while in a long one.
        if self._made is None or self._made[0] != trial.number:
            self._made = (trial.number, self._view(study))
        return self._made[1]

    def _view(self, study: Study) -> Study:
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if max(len(complete), len(running)) <= self._size:
            return study
        shown = [*self._complete(complete, study.directions), *running[-self._size :]]
        shown.sort(key=lambda trial: trial.number)
        # Samplers only read; what they read besides trials is the study's.
        return cast("Study", _View(study, shown))

    def _complete(self, complete: list[FrozenTrial], directions: Sequence[StudyDirection]) -> Sequence[FrozenTrial]:
        if len(complete) <= self._size:
            return complete
        for trial in complete:
            if trial.number not in self._seen:
                self._seen.add(trial.number)
                self._best.append(trial)
                if len(self._best) >= self._size:
                    self._best = best(self._best, directions, self._size // 2)
        chosen = {trial.number: trial for trial in best(self._best, directions, self._size // 2)}
        for trial in reversed(complete):
            if len(chosen) >= self._size:
                break
            chosen.setdefault(trial.number, trial)
        return list(chosen.values())


def best(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection], count: int) -> list[FrozenTrial]:
    """The best trials, in their order: feasible ones by non-dominated rank, then the others by their violation.

    Within a rank that does not fit whole, those that are farthest from their neighbours come first (crowding
    distance, Deb et al. 2002), so that its ends stay.
    """
    if len(trials) <= count:
        return list(trials)
    violation = np.array([sum(max(0.0, value) for value in trial.constraints.values()) for trial in trials])
    signs = [-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in directions]
    losses = np.array([trial.values for trial in trials]) * signs
    chosen: list[int] = []
    left = np.flatnonzero(violation == 0)
    while len(left) and len(chosen) < count:
        front = left[_non_dominated(losses[left])]
        room = count - len(chosen)
        chosen += front[np.argsort(-_crowding(losses[front]), kind="stable")[:room]].tolist()
        left = np.setdiff1d(left, front, assume_unique=True)
    infeasible = np.flatnonzero(violation > 0)
    order = infeasible[np.argsort(violation[infeasible], kind="stable")]
    chosen += order[: count - len(chosen)].tolist()
    return [trials[index] for index in sorted(chosen)]


def _non_dominated(losses: np.ndarray) -> np.ndarray:
    """Which rows of ``losses`` (n, 2), less being better, no other row beats; of equal rows all or none."""
    distinct, which = np.unique(losses, axis=0, return_inverse=True)
    # Sorted by the first loss: a row is beaten if one before it has no larger second loss.
    before = np.concatenate(([np.inf], np.minimum.accumulate(distinct[:, 1])[:-1]))
    kept: np.ndarray = (distinct[:, 1] < before)[which.reshape(-1)]
    return kept


def _crowding(losses: np.ndarray) -> np.ndarray:
    """Crowding distance of each row; infinite at the ends."""
    distance = np.zeros(len(losses))
    for column in losses.T:
        order = np.argsort(column, kind="stable")
        sorted_ = column[order]
        span = sorted_[-1] - sorted_[0] or 1.0
        gaps = np.full(len(order), np.inf)
        gaps[1:-1] = (sorted_[2:] - sorted_[:-2]) / span
        distance[order] += gaps
    return distance


class _View:
    """A study with a part of its trials."""

    def __init__(self, study: Study, trials: list[FrozenTrial]) -> None:
        self._whole = study
        self._shown = trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        """As `optuna.Study.get_trials`, never as copies."""
        return [trial for trial in self._shown if states is None or trial.state in states]

    # Optuna's own samplers call this one.
    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return self.get_trials(states=states)
