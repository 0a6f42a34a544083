"""Known heuristics as the first trials of a search, so that it never ends below them."""

from __future__ import annotations

from rdsearch.point import Scalar
from rdsearch.space import Choice, RecipeSpace

METHOD, RATE = "pruning.method", "pruning.rate"
_RATE_FRACTIONS = (0.5, 0.15, 0.85)


def heuristics(space: RecipeSpace, at_most: int) -> list[dict[str, Scalar]]:
    """Every allocation at a few pruning rates, everything else at its usual value.

    Args:
        space: The search space.
        at_most: More than these are not returned; middle rates come before extreme ones.
    """
    parameters = space.parameters
    middle = space.middle()
    methods = parameters.get(METHOD)
    choices = methods.values if isinstance(methods, Choice) else (middle.get(METHOD),)
    fractions = _RATE_FRACTIONS if RATE in parameters else (0.5,)
    proposals = []
    for fraction in fractions:
        for method in choices:
            proposal = dict(middle)
            if METHOD in parameters:
                proposal[METHOD] = method
            if RATE in parameters:
                proposal[RATE] = parameters[RATE].at(fraction)
            if proposal not in proposals:
                proposals.append(proposal)
    return proposals[:at_most]
