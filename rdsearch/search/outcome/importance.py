"""Which parameters decide: PED-ANOVA importances for the front and for each objective."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, create_trial

from rdsearch.config.space import RecipeSpace
from rdsearch.points.point import OperatingPoint
from rdsearch.search.study.distributions import distribution
from rdsearch.search.study.observations import representative

FEWEST_TRIALS = 10
"""With fewer the figures would be noise."""
_BEST_SHARE = 0.1
_FEWEST_BEST = 5
"""Trials among the best that the method asks for."""

# The method takes lower for better.
_TARGETS: dict[str, Callable[[FrozenTrial], float] | None] = {
    "front": None,
    "size_bytes": lambda trial: float(trial.values[0]),
    "val_accuracy": lambda trial: -float(trial.values[1]),
}


def importances(
    space: RecipeSpace, points: Sequence[OperatingPoint], constraints: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """How much each parameter decides whether a trial is among the best.

    PED-ANOVA (Watanabe, Bansal, Hutter 2023, arXiv 2304.10255) compares how the best trials spread over a
    parameter with how all of them do. Each trial counts with the point that stands for it in the study: its last
    round that keeps the constraints. The best are a tenth of the trials, and five at least.

    Args:
        space: The search space.
        points: Every operating point, in any order.
        constraints: Measured column to its bound.

    Returns:
        Parameter to its share, summing to 1, largest first: under ``"front"`` for coming near the front (by
        non-dominated rank), under ``"size_bytes"`` and ``"val_accuracy"`` for one objective alone. Empty with fewer
        than ten trials or one parameter.
    """
    trials = _observations(space, points, constraints)
    if len(trials) < FEWEST_TRIALS or len(space.parameters) < 2:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Optuna, about what the table above takes care of
        study = optuna.create_study(directions=["minimize", "maximize"], storage=None)
        study.add_trials(trials)
        share = min(0.5, max(_BEST_SHARE, _FEWEST_BEST / len(trials)))
        evaluator = PedAnovaImportanceEvaluator(target_quantile=share)
        return {
            name: dict(get_param_importances(study, evaluator=evaluator, target=target))
            for name, target in _TARGETS.items()
        }


def _observations(
    space: RecipeSpace, points: Sequence[OperatingPoint], constraints: Mapping[str, float]
) -> list[FrozenTrial]:
    distributions = {name: distribution(domain) for name, domain in space.parameters.items()}
    ordered = sorted(
        (point for point in points if point.trial is not None), key=lambda point: (point.trial, point.round)
    )
    found = []
    for _, rounds in groupby(ordered, key=lambda point: point.trial):
        chosen = representative(list(rounds), constraints)
        if (
            chosen is None
            or not math.isfinite(chosen.val_accuracy)
            or not all(chosen.parameters.get(name) in domain for name, domain in space.parameters.items())
        ):
            continue
        values = [float(chosen.size_bytes), chosen.val_accuracy]
        params = {name: chosen.parameters[name] for name in distributions}
        found.append(create_trial(values=values, params=params, distributions=distributions))
    return found
