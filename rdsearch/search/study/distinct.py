"""Where a space holds few recipes, each is tried once, whatever a sampler proposes again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
)
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from rdsearch.config.space import Choice, Domain, RecipeSpace
from rdsearch.points.point import Scalar
from rdsearch.search.study.distributions import distribution
from rdsearch.search.study.observations import is_prefix


class Distinct(BaseSampler):
    """In place of a recipe that was tried, the nearest that was not: of all that differ in the fewest parameters, one.

    Args:
        sampler: What proposes.
        space: Holds a finite number of recipes.
        seed: Of the search.
    """

    def __init__(self, sampler: BaseSampler, space: RecipeSpace, seed: int) -> None:
        self._sampler, self._space, self._seed = sampler, space, seed
        self._distributions = {name: distribution(domain) for name, domain in space.parameters.items()}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The whole space: a recipe is one only with all of its parameters."""
        return self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """What the other sampler proposes, or the nearest that is new."""
        inferred = self._sampler.infer_relative_search_space(study, trial)
        proposal: dict[str, Any] = self._sampler.sample_relative(study, trial, inferred)
        for name, of in self._distributions.items():
            if name not in proposal:
                proposal[name] = self._sampler.sample_independent(study, trial, name, of)
        tried = {
            _key(other.params, self._space)
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number and other.state != TrialState.WAITING and not is_prefix(other)
        }
        random = np.random.default_rng((self._seed, trial.number))
        return next(
            (near for near in nearest(proposal, self._space, random) if _key(near, self._space) not in tried), proposal
        )

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As the other sampler draws it."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """As the other sampler does."""
        self._sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """As the other sampler does."""
        self._sampler.after_trial(study, trial, state, values)


def nearest(
    proposal: Mapping[str, Scalar], space: RecipeSpace, random: np.random.Generator
) -> Iterator[dict[str, Scalar]]:
    """Every recipe of a finite space once: first the proposal, then those that differ in one parameter, in two, ….

    Of so many tried ones, at most as many come before the first that is new.
    """
    names = [str(name) for name in random.permutation(list(space.parameters))]
    for count in range(len(names) + 1):
        for changed in combinations(names, count):
            others = [_others(space.parameters[name], proposal[name], random) for name in changed]
            for values in product(*others):
                yield {**proposal, **dict(zip(changed, values, strict=True))}


def _others(domain: Domain, value: Scalar, random: np.random.Generator) -> list[Scalar]:
    """The other values of a domain: whole numbers by their distance, choices in any order."""
    if isinstance(domain, Choice):
        # By repr: True is not 1.
        left = [other for other in domain.values if repr(other) != repr(value)]
        return [left[index] for index in random.permutation(len(left))]
    if not domain.integer:
        return []
    at = int(value) if isinstance(value, int | float) else int(domain.low)
    others = [number for number in range(int(domain.low), int(domain.high) + 1) if number != at]
    others.sort(key=lambda number: abs(number - at))
    return list(others)


def _key(parameters: Mapping[str, Any], space: RecipeSpace) -> tuple[str, ...]:
    return tuple(repr(parameters.get(name)) for name in space.parameters)
