"""Samplers by name; each is made from what a search says of itself.

Whatever a sampler draws for a trial follows from the seed, the trial's number and what the study holds by then, and
not from what its process has drawn before: a search that was interrupted proposes what it would have proposed anyway.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from rdsearch.config.searchfile import SearchConfig
from rdsearch.config.space import RecipeSpace
from rdsearch.points.point import OperatingPoint
from rdsearch.search.study.window import Windowed

TPE_START_UP = 5
"""Complete trials before the estimator proposes: as many as the ready searches have heuristics, which spread over the
space. With Optuna's own 10 a search gets less for its compute (docs/search.md)."""
TPE_WINDOW = 500
"""Complete trials that the estimator is fitted to; its time grows with them."""
GP_WINDOW = 200
"""Likewise for Gaussian processes, whose time grows with the third power."""
CURVE_WINDOW = 100
"""Likewise for curves, each of which is several points."""


@dataclass(frozen=True)
class Setting:
    """What a sampler may know of its search.

    Attributes:
        config: Seed, constraints, patience.
        space: The search space.
        points: What a trial of the study has reported, by round, as far as it has come.
    """

    config: SearchConfig
    space: RecipeSpace
    points: Callable[[FrozenTrial], Sequence[OperatingPoint]]


class Reseeded(BaseSampler):
    """A sampler made anew for every trial, with a seed of the trial's own.

    Args:
        make: Makes the sampler from a seed.
        seed: Of the search.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self._make, self._seed = make, seed
        self._made: tuple[int, BaseSampler] | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As the trial's own sampler has it."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the trial's own sampler draws them."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As the trial's own sampler draws it."""
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Nothing is drawn here, and no sampler made: a trial that is told passes by as well."""

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """As the trial's own sampler does."""
        self._of(trial).after_trial(study, trial, state, values)

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        if self._made is None or self._made[0] != trial.number:
            own = int(np.random.SeedSequence((self._seed, trial.number)).generate_state(1)[0])
            with _without_notices():
                self._made = (trial.number, self._make(own))
        return self._made[1]


class Grid(BaseSampler):
    """Trial n tries the grid's combination n, in the order of the search file, its last parameter fastest."""

    def __init__(self, space: RecipeSpace) -> None:
        self._space = space

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """None: every parameter is asked for by itself."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """None, see `infer_relative_search_space`."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The parameter's value in the trial's combination."""
        return self._space.combination(trial.number)[param_name]


@contextlib.contextmanager
def _without_notices() -> Iterator[None]:
    """Optuna warns that some of its options are new; a user of a search can do nothing about that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def tpe(search: Setting) -> BaseSampler:
    """Multivariate tree-structured Parzen estimator (Bergstra et al. 2011; Ozaki et al. 2022 for two objectives)."""

    def make(seed: int) -> BaseSampler:
        # Optuna turns `multivariate` off for several objectives unless it is asked for.
        return optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=TPE_START_UP, multivariate=True, group=True, constant_liar=True
        )

    return Windowed(Reseeded(make, search.config.seed), TPE_WINDOW)


def curve(search: Setting) -> BaseSampler:
    """The recipe whose whole curve adds most to the front for its time (see `rdsearch.search.study.curve`)."""
    from rdsearch.search.study.curve.recipes import RoundCurves
    from rdsearch.search.study.curve.sampler import CurveSampler

    curves = RoundCurves(search.config, search.space, search.points)
    return Windowed(CurveSampler(curves, seed=search.config.seed), CURVE_WINDOW)


def nsga2(search: Setting) -> BaseSampler:
    """Elitist genetic algorithm (Deb et al. 2002)."""
    return Reseeded(lambda own: optuna.samplers.NSGAIISampler(seed=own, population_size=20), search.config.seed)


def gp(search: Setting) -> BaseSampler:
    """Gaussian processes, and the logarithm of the expected hypervolume improvement (Ament et al. 2023)."""
    return Windowed(Reseeded(lambda own: optuna.samplers.GPSampler(seed=own), search.config.seed), GP_WINDOW)


def qmc(search: Setting) -> BaseSampler:
    """Scrambled Sobol points: an even spread over the space that learns nothing."""
    # One sequence, whose position the study keeps: another seed a trial would scramble its points anew.
    with _without_notices():
        return optuna.samplers.QMCSampler(seed=search.config.seed, scramble=True, warn_independent_sampling=False)


def random(search: Setting) -> BaseSampler:
    """Independent draws."""
    return Reseeded(lambda own: optuna.samplers.RandomSampler(seed=own), search.config.seed)


def grid(search: Setting) -> BaseSampler:
    """Every combination once, in order."""
    return Grid(search.space)
