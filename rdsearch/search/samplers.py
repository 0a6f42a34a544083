"""Optuna samplers by name; each takes a seed."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import optuna
from optuna.samplers import BaseSampler


@contextlib.contextmanager
def _without_notices() -> Iterator[None]:
    """Optuna warns that some of its options are new; a user of a search can do nothing about that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def tpe(seed: int) -> BaseSampler:
    """Multivariate tree-structured Parzen estimator (Bergstra et al. 2011; Ozaki et al. 2022 for two objectives)."""
    # Optuna turns `multivariate` off for several objectives unless it is asked for.
    with _without_notices():
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)


def nsga2(seed: int) -> BaseSampler:
    """Elitist genetic algorithm (Deb et al. 2002)."""
    return optuna.samplers.NSGAIISampler(seed=seed, population_size=20)


def qmc(seed: int) -> BaseSampler:
    """Scrambled Sobol points: an even spread over the space that learns nothing."""
    with _without_notices():
        return optuna.samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)


def random(seed: int) -> BaseSampler:
    """Independent draws."""
    return optuna.samplers.RandomSampler(seed=seed)
