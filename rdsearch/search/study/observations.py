"""What the study is told of a trial: the point that stands for it, and its rounds as recipes of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, create_trial

from rdsearch.config.space import RecipeSpace
from rdsearch.points.point import OperatingPoint
from rdsearch.pruning.schedules import prefix_consistent
from rdsearch.search.study.constraints import feasible, violations

ROUNDS = "pruning.rounds"
PREFIX_OF = "prefix_of"
"""User attribute of an observation that is no trial: number of the trial that it was taken from, and the round."""


def representative(points: Sequence[OperatingPoint], constraints: Mapping[str, float]) -> OperatingPoint | None:
    """The point that stands for a trial in the study: its last round that keeps the bounds, else its last."""
    candidates = [point for point in points if feasible(point, constraints)] or points
    return candidates[-1] if candidates else None


def is_prefix(trial: FrozenTrial) -> bool:
    """Whether a trial of the study is an observation that was never proposed."""
    return PREFIX_OF in trial.user_attrs


def prefix_of(trial: FrozenTrial) -> tuple[int, int]:
    """Trial and round that an observation was taken from."""
    number, round_ = trial.user_attrs[PREFIX_OF]
    return int(number), int(round_)


def prefix_observation(
    trial: FrozenTrial, number: int, point: OperatingPoint, space: RecipeSpace, constraints: Mapping[str, float]
) -> FrozenTrial | None:
    """One round of a trial as an observation of the recipe that ends there.

    Args:
        trial: The trial, as the study has it.
        number: Its number.
        point: What it had after the round.
        space: The search space.
        constraints: Measured column to its bound.

    Returns:
        ``None`` where the shorter recipe lies outside of the space, does not go through the same rounds, or is the
        trial itself, and where the accuracy is not finite.
    """
    domain = space.parameters.get(ROUNDS)
    if domain is None or point.round not in domain or point.round == trial.params[ROUNDS]:
        return None
    if not math.isfinite(point.val_accuracy):
        return None
    if not prefix_consistent(space.recipe(trial.params).pruning.schedule):
        return None
    options: dict[str, Any] = {"distributions": trial.distributions, "user_attrs": {PREFIX_OF: [number, point.round]}}
    return create_trial(
        params=trial.params | {ROUNDS: point.round},
        values=[point.size_bytes, point.val_accuracy],
        constraints=violations(point, constraints),
        **options,
    )
