"""Known heuristics as the first trials of a search, so that it never ends below them."""

from __future__ import annotations

import numpy as np

from rdsearch.config.space import Choice, Domain, RecipeSpace
from rdsearch.points.point import Scalar

METHOD, RATE = "pruning.method", "pruning.rate"
GRANULARITY, SENSITIVITY = "quantization.granularity", "sensitivity"
_SEED = 0


def heuristics(space: RecipeSpace, at_most: int) -> list[dict[str, Scalar]]:
    """Every allocation once, everything else spread evenly over its range.

    Where the space leaves it open, steps are shared out by sensitivity, which needs no search. The rest is a Latin
    hypercube (McKay, Beckman & Conover 1979): with n allocations each range is cut into n parts of which every
    allocation gets another. They are the same for every search in a space, whatever its seed.

    Args:
        space: The search space.
        at_most: More than these are not returned.
    """
    parameters = space.parameters
    methods = parameters.get(METHOD)
    choices = methods.values if isinstance(methods, Choice) else (None,)
    if not parameters:
        return []
    random = np.random.default_rng(_SEED)
    parts = {name: (random.permutation(len(choices)) + 0.5) / len(choices) for name in parameters if name != METHOD}
    proposals = []
    for index, method in enumerate(choices):
        proposal: dict[str, Scalar] = {name: parameters[name].at(float(parts[name][index])) for name in parts}
        proposal[METHOD] = method
        if _offers(parameters.get(GRANULARITY), SENSITIVITY):
            proposal[GRANULARITY] = SENSITIVITY
        proposals.append({name: proposal[name] for name in parameters})
    return proposals[:at_most]


def _offers(domain: Domain | None, value: Scalar) -> bool:
    """Whether a setting is a choice, and this is one of its values."""
    return isinstance(domain, Choice) and value in domain.values
