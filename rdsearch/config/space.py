"""The search space: a recipe in which some values are ranges.

A value is searched when a mapping with one of the keys ``choice``, ``int`` or ``float`` stands in its place::

    rate: {float: [0.1, 0.5]}
    lr: {float: [1.0e-4, 1.0e-2], log: true}
    step: {float: [0.2, 1.0], points: 5}
    method: {choice: [surp, lamp, erk, global]}
    budgets: {per_group: {conv: "conv*", fc: "fc*"}, float: [0.25, 4.0], log: true}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from typing import Any

from pydantic import ValidationError

from rdsearch.base.registry import among
from rdsearch.base.schema import explain, flatten, shown
from rdsearch.config.plain import plain
from rdsearch.config.recipe import Recipe
from rdsearch.errors import ConfigError
from rdsearch.points.point import Scalar
from rdsearch.points.scalars import format_cell

Address = tuple[str, ...]
_KINDS = ("choice", "int", "float")
_GROUPS = "per_group"
_MULTIPLIERS = (("pruning", "budgets"), ("quantization", "step_multipliers"))
# Where ranges are probed besides their ends, so that a range of fractions is not taken for one of whole numbers.
_INSIDE = 0.381966


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values."""

    values: tuple[Scalar, ...]

    def __str__(self) -> str:
        return f"one of {', '.join(map(format_cell, self.values))}"

    def probes(self) -> tuple[Scalar, ...]:
        """Values that stand for the whole domain when a recipe is checked."""
        return self.values

    def grid(self) -> tuple[Scalar, ...]:
        """The values that a grid takes of the domain: all of them."""
        return self.values

    def count(self) -> int | None:
        """Number of different values."""
        return len(self.values)

    def at(self, fraction: float) -> Scalar:
        """The value ``fraction`` of the way through the domain, 0 <= fraction <= 1."""
        return self.values[min(int(fraction * len(self.values)), len(self.values) - 1)]

    def __contains__(self, value: Scalar) -> bool:
        return value in self.values


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; whole ones if ``integer``, spread evenly in log if ``log``.

    A grid takes ``points`` of them.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False
    points: int | None = None

    def __str__(self) -> str:
        whole, log = "whole numbers " if self.integer else "", ", evenly in log" if self.log else ""
        return f"{whole}{self.low:g} to {self.high:g}{log}"

    def probes(self) -> tuple[Scalar, ...]:
        """Values that stand for the whole domain when a recipe is checked."""
        return self._number(self.low), self._number(self.high)

    def grid(self) -> tuple[Scalar, ...] | None:
        """The values that a grid takes of the domain: ``points`` of them, evenly spread, the ends included.

        Whole numbers are all taken where nothing else is said. ``None`` where a grid cannot know how many to take.
        """
        if self.low == self.high:
            return (self._number(self.low),)
        if self.points is None:
            return tuple(range(int(self.low), int(self.high) + 1)) if self.integer else None
        return tuple(dict.fromkeys(self.at(index / (self.points - 1)) for index in range(self.points)))

    def count(self) -> int | None:
        """Number of different values; ``None`` for fractions."""
        if self.low == self.high:
            return 1
        return int(self.high) - int(self.low) + 1 if self.integer else None

    def at(self, fraction: float) -> Scalar:
        """The value ``fraction`` of the way through the domain, 0 <= fraction <= 1."""
        if self.log:
            return self._number(math.exp(math.log(self.low) * (1 - fraction) + math.log(self.high) * fraction))
        return self._number(self.low * (1 - fraction) + self.high * fraction)

    def __contains__(self, value: Scalar) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def _number(self, value: float) -> Scalar:
        # Rounding of the logarithms must not carry a bound over the edge.
        inside = min(max(value, self.low), self.high)
        return round(inside) if self.integer else inside


Domain = Choice | Range


@dataclass(frozen=True)
class RecipeSpace:
    """Fixed settings and searched ones.

    Attributes:
        fixed: The recipe's mapping with the searched keys left out.
        domains: Address of each searched key in the recipe to its domain, in the file's order.
    """

    fixed: Mapping[str, Any]
    domains: Mapping[Address, Domain]

    @property
    def parameters(self) -> dict[str, Domain]:
        """Name of each searched parameter (``"pruning.rate"``) to its domain."""
        return {".".join(address): domain for address, domain in self.domains.items()}

    def recipe(self, parameters: Mapping[str, Scalar]) -> Recipe:
        """The recipe with ``parameters`` (every one, by name) in place.

        Raises:
            pydantic.ValidationError: The values do not fit together.
            KeyError: A searched parameter is missing.
        """
        values = {address: parameters[".".join(address)] for address in self.domains}
        return Recipe.model_validate(_filled(self.fixed, values))

    def one_of_each(self, name: str) -> list[Recipe]:
        """A recipe for each value of a setting, if it is a choice; one recipe otherwise."""
        inside = {other: domain.at(_INSIDE) for other, domain in self.parameters.items()}
        values = domain.values if isinstance(domain := self.parameters.get(name), Choice) else (None,)
        return [self.recipe(inside if value is None else inside | {name: value}) for value in values]

    @property
    def without_grid(self) -> list[str]:
        """Names of the parameters that a grid cannot take, since it does not know how many values to try."""
        return [name for name, domain in self.parameters.items() if domain.grid() is None]

    @property
    def recipes(self) -> int | None:
        """Number of different recipes; ``None`` where a range of fractions holds more than a search can try."""
        counts = [domain.count() for domain in self.parameters.values()]
        return None if None in counts else math.prod(count for count in counts if count is not None)

    @property
    def combinations(self) -> int:
        """Number of combinations of a grid over all parameters."""
        return math.prod(len(values) for values in self._grid().values())

    def combination(self, index: int) -> dict[str, Scalar]:
        """One combination of the grid, counted from 0 in the file's order, the last parameter fastest.

        Raises:
            IndexError: There are no more than `combinations`.
        """
        if not 0 <= index < self.combinations:
            raise IndexError(f"combination {index} of {self.combinations}")
        chosen: dict[str, Scalar] = {}
        for name, values in reversed(self._grid().items()):
            index, place = divmod(index, len(values))
            chosen[name] = values[place]
        return {name: chosen[name] for name in self.parameters}

    def _grid(self) -> dict[str, tuple[Scalar, ...]]:
        return {name: domain.grid() or () for name, domain in self.parameters.items()}


def parse_space(tree: Mapping[str, Any], source: str, prefix: str = "recipe") -> tuple[RecipeSpace, list[str]]:
    """Read the ``recipe:`` part of a search file.

    The recipe is validated with every searched key at each end of its range and within it, every two keys
    together, so that no trial can meet a value that the recipe forbids.

    Returns:
        The space, and the mistakes found (one line each, empty when there are none).
    """
    problems: list[str] = []
    domains: dict[Address, Domain] = {}
    fixed = _split(tree, (), domains, problems, prefix)
    space = RecipeSpace(fixed, domains)
    found = dict.fromkeys(problems)
    for probe in _probes(domains):
        found.update(dict.fromkeys(_mistakes(fixed, probe, prefix)))
    if not found:
        inside = {address: domain.at(_INSIDE) for address, domain in domains.items()}
        found.update(dict.fromkeys(_mistakes(fixed, inside, prefix)))
    return space, list(found)


def _mistakes(fixed: Mapping[str, Any], values: Mapping[Address, Scalar], prefix: str) -> list[str]:
    try:
        Recipe.model_validate(_filled(fixed, values))
    except ValidationError as error:
        return explain(error, Recipe, prefix)
    return []


def load_recipe(tree: Mapping[str, Any], source: str) -> Recipe:
    """A recipe without ranges, from a mapping.

    Raises:
        ConfigError: It is no mapping, a setting is wrong, or a range stands where a value is needed.
    """
    if not isinstance(tree, Mapping):
        raise ConfigError(source, [f"{shown(tree)} must be a mapping of keys to values; {{}} is the usual recipe"])
    space, problems = parse_space(plain(tree, source), source)
    problems += [f"recipe.{name}: is a range; one recipe needs one value here" for name in space.parameters]
    if problems:
        raise ConfigError(source, problems)
    return space.recipe({})


def _split(
    tree: Mapping[str, Any], address: Address, domains: dict[Address, Domain], problems: list[str], prefix: str
) -> dict[str, Any]:
    """Move the searched keys of ``tree`` into ``domains``; return what is left."""
    fixed: dict[str, Any] = {}
    for key, value in tree.items():
        here = (*address, str(key))
        if not isinstance(value, Mapping) or not value:
            fixed[str(key)] = value
        elif here in _leaves() or any(key in value for key in (*_KINDS, _GROUPS)):
            path = ".".join((prefix, *here))
            fixed |= _take_domain(value, here, domains, problems, path)
        else:
            fixed[str(key)] = _split(value, here, domains, problems, prefix)
    return fixed


@cache
def _leaves() -> frozenset[Address]:
    """Settings that take a value of their own, so that a mapping in its place is a range, or meant to be one."""
    return frozenset(address for address, value in flatten(Recipe().as_dict()).items() if value != {})


def _take_domain(
    value: Mapping[str, Any], here: Address, domains: dict[Address, Domain], problems: list[str], path: str
) -> dict[str, Any]:
    rest = dict(value)
    groups = rest.pop(_GROUPS, None)
    try:
        domain = _domain(rest)
        patterns = _patterns(groups, here)
    except ValueError as error:
        problems.append(f"{path}: {error}")
        return {}
    if not patterns:
        domains[here] = domain
        return {}
    for pattern in patterns:
        domains[(*here, pattern)] = domain
    return {here[-1]: {}}


def _patterns(groups: Any, here: Address) -> list[str]:
    """The layer patterns of ``per_group``; none where a single value is searched."""
    if here not in _MULTIPLIERS:
        if groups is not None:
            allowed = " and ".join(".".join(address) for address in _MULTIPLIERS)
            raise ValueError(f"{_GROUPS}: only {allowed} have groups; leave it out here")
        return []
    if groups is None:
        raise ValueError(f'a range here needs {_GROUPS} beside it: {{{_GROUPS}: {{conv: "conv*"}}, float: [0.5, 2]}}')
    if (
        not isinstance(groups, Mapping)
        or not groups
        or not all(isinstance(pattern, str) for pattern in groups.values())
    ):
        raise ValueError(f"{_GROUPS}: {shown(groups)} must be a mapping of group names to layer patterns")
    patterns = list(groups.values())
    if len(set(patterns)) != len(patterns):
        raise ValueError(f"{_GROUPS}: {groups!r} has a pattern twice; give each group layers of its own")
    return patterns


def _domain(value: Mapping[str, Any]) -> Domain:
    kinds = [kind for kind in _KINDS if kind in value]
    allowed = [*kinds, *(["log", "points"] if "choice" not in kinds else [])]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none; a range is {float: [0.1, 0.5]}, say"
        raise ValueError(f"must have exactly one of the keys {', '.join(_KINDS)}, and has {found}")
    for key in value:
        if key not in allowed:
            raise ValueError(f"unknown key {key!r} beside {kinds[0]!r}{among(str(key), allowed, 'allowed are')}")
    bounds, log = value[kinds[0]], value.get("log", False)
    if kinds[0] == "choice":
        return _choice(bounds)
    return _range(bounds, log, value.get("points"), integer=kinds[0] == "int")


def _choice(values: Any) -> Choice:
    if not isinstance(values, list) or not values:
        raise ValueError(f"choice: {shown(values)} must be a list of at least one value")
    for value in values:
        if not isinstance(value, str | int | float | bool | None):
            raise ValueError(f"choice: {value!r} must be a single value (text, number, true, false or null)")
    if len(set(map(repr, values))) != len(values):
        raise ValueError(f"choice: {values!r} has a value twice")
    return Choice(tuple(values))


def _range(bounds: Any, log: Any, points: Any, *, integer: bool) -> Range:
    kind = "int" if integer else "float"
    kinds = (int,) if integer else (int, float)
    if (
        not isinstance(bounds, list)
        or len(bounds) != 2
        or not all(isinstance(bound, kinds) and not isinstance(bound, bool) for bound in bounds)
        or not all(math.isfinite(bound) for bound in bounds)
    ):
        number = "whole numbers" if integer else "numbers"
        raise ValueError(f"{kind}: {shown(bounds)} must be two {number}, [lowest, highest]")
    low, high = bounds
    if low > high:
        raise ValueError(f"{kind}: the lowest value {low!r} is above the highest {high!r}; swap them")
    if not isinstance(log, bool):
        raise ValueError(f"log: {shown(log)} must be true or false")
    if log and low <= 0:
        raise ValueError(f"{kind}: the lowest value {low!r} must be greater than 0 when log is true")
    if points is not None and (not isinstance(points, int) or isinstance(points, bool) or points < 2):
        raise ValueError(f"points: {shown(points)} must be a whole number of at least 2")
    return Range(low, high, log, integer, points)


def _probes(domains: Mapping[Address, Domain]) -> list[dict[Address, Scalar]]:
    """Every two domains' probes together, the others at their first: settings that exclude each other do so by twos."""
    first = {address: domain.probes()[0] for address, domain in domains.items()}
    probes = {address: domain.probes() for address, domain in domains.items()}
    return [
        first | dict(zip(searched, values, strict=True))
        for searched in combinations(domains, min(2, len(domains)))
        for values in product(*(probes[address] for address in searched))
    ]


def _filled(fixed: Mapping[str, Any], values: Mapping[Address, Any]) -> dict[str, Any]:
    """A deep copy of ``fixed`` with ``values`` put in at their addresses."""
    tree = {key: _filled(value, {}) if isinstance(value, Mapping) else value for key, value in fixed.items()}
    for address, value in values.items():
        node = tree
        for key in address[:-1]:
            node = node.setdefault(key, {})
        node[address[-1]] = value
    return tree
