"""Short names for parameters, and one line for a recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rdsearch.base.terminal import printable
from rdsearch.base.units import format_number
from rdsearch.points.front import parameter_names
from rdsearch.points.point import OperatingPoint, Scalar

_ABSENT = object()


def varying(points: Iterable[OperatingPoint]) -> list[str]:
    """Names of the parameters that are not the same at every point, sorted: those that were searched."""
    points = list(points)
    # By repr, NaN is itself, and 1 is neither 1.0 nor True.
    return [
        name
        for name in parameter_names(points)
        if len({repr(point.parameters.get(name, _ABSENT)) for point in points}) > 1
    ]


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Each dotted name's shortest ending that no other name shares: ``pruning.rate`` is ``rate``.

    An ending begins with a word: layers may have numbers for names, and ``pruning.budgets.0`` is ``budgets.0``.
    """
    parts = {name: name.split(".") for name in names}
    short = {}
    for name in names:
        for length in range(1, len(parts[name]) + 1):
            ending = parts[name][-length:]
            is_word = any(character.isalpha() for character in ending[0])
            if is_word and sum(other[-length:] == ending for other in parts.values()) == 1:
                break
        short[name] = printable(".".join(ending))
    return short


def format_value(value: Scalar) -> str:
    """A parameter for reading at a glance: floats in two digits or so, strings bare and printable."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return format_number(value)
    return printable(str(value))


def recipe_line(parameters: Mapping[str, Scalar], names: Sequence[str]) -> str:
    """A recipe in one line: ``surp rate=0.31 step=0.08``.

    Strings come first and stand for themselves; every other parameter has its short name.

    Args:
        parameters: The recipe, flat.
        names: The parameters to show, as :func:`varying` gives them; one that the recipe lacks is left out.
    """
    short = short_names(names)
    here = [name for name in names if name in parameters]
    words = [format_value(parameters[name]) for name in here if isinstance(parameters[name], str)]
    pairs = [
        f"{short[name]}={format_value(parameters[name])}" for name in here if not isinstance(parameters[name], str)
    ]
    return " ".join([*words, *pairs])
