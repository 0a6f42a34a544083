"""Which heuristic a point of the front descends from: the one that its recipe is, or is nearest to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rdsearch.base.units import format_number
from rdsearch.config.space import Choice, Domain, RecipeSpace
from rdsearch.points.point import OperatingPoint, Scalar
from rdsearch.search.study.heuristics import METHOD, RATE, heuristics

_ALL = 1_000_000


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A heuristic that the search tried, as seen from one recipe.

    Attributes:
        trial: The heuristic's trial.
        parameters: Its searched parameters.
        distance: 0 for the heuristic itself, 1 for the opposite corner of the space.
    """

    trial: int
    parameters: Mapping[str, Scalar]
    distance: float

    def __str__(self) -> str:
        if METHOD in self.parameters or RATE in self.parameters:
            method, rate = self.parameters.get(METHOD, ""), self.parameters.get(RATE)
            name = f"{method} {format_number(rate)}" if isinstance(rate, float) else str(method)
        else:
            name = f"trial {self.trial}"
        return name.strip() if not self.distance else f"{name.strip()}, {self.distance:.0%} away"


def ancestors(
    space: RecipeSpace, points: Iterable[OperatingPoint], front: Sequence[OperatingPoint]
) -> list[Ancestor | None]:
    """For each point of a front the nearest heuristic that the search tried.

    Samplers mix what they have seen, so there is no pedigree to follow. What can be said is where in the space a
    recipe lies: its distance to a heuristic is the mean over the searched parameters (Gower 1971, "A general
    coefficient of similarity"), 0 or 1 for a choice, and for a number the difference over the range, in log
    where the range is. A heuristic with the same pruning method comes before any other.

    Args:
        space: The search space.
        points: Every operating point of the search.
        front: The points to place.

    Returns:
        One entry a point of the front; ``None`` everywhere where the search tried no heuristic.
    """
    found = tried_heuristics(space, points)
    return [_nearest(point.parameters, found, space.parameters) for point in front]


def tried_heuristics(space: RecipeSpace, points: Iterable[OperatingPoint]) -> dict[int, Mapping[str, Scalar]]:
    """The trials of a search whose recipes are heuristics, with these recipes."""
    domains = space.parameters
    tried: dict[int, Mapping[str, Scalar]] = {}
    for point in points:
        if point.trial is not None:
            tried.setdefault(point.trial, point.parameters)
    known = heuristics(space, _ALL) if domains else []
    return {trial: parameters for trial, parameters in tried.items() if _values(parameters, domains) in known}


def distance(left: Mapping[str, Scalar], right: Mapping[str, Scalar], domains: Mapping[str, Domain]) -> float:
    """Mean over the parameters of how far two recipes lie apart, 0 to 1."""
    return math.fsum(_apart(left.get(name), right.get(name), domain) for name, domain in domains.items()) / len(domains)


def _nearest(
    parameters: Mapping[str, Scalar], found: Mapping[int, Mapping[str, Scalar]], domains: Mapping[str, Domain]
) -> Ancestor | None:
    options = [
        (other.get(METHOD) != parameters.get(METHOD), distance(parameters, other, domains), trial)
        for trial, other in found.items()
    ]
    if not options:
        return None
    _, apart, trial = min(options)
    return Ancestor(trial, found[trial], apart)


def _apart(left: Scalar, right: Scalar, domain: Domain) -> float:
    if isinstance(domain, Choice) or not (isinstance(left, int | float) and isinstance(right, int | float)):
        return float(left != right)
    if domain.low == domain.high:
        return 0.0
    if domain.log:
        return abs(math.log(left / right)) / math.log(domain.high / domain.low)
    return abs(left - right) / (domain.high - domain.low)


def _values(parameters: Mapping[str, Scalar], domains: Mapping[str, Domain]) -> dict[str, Scalar]:
    return {name: parameters.get(name) for name in domains}
