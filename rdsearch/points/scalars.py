"""A recipe's parameter as the text of a table cell, and back, type and all.

A cell holds what a person would type: ``surp``, ``0.2``, ``12``, ``true``, ``null``. Floats keep a point
or an exponent, and a string that would read as something else (``12``, ``true``, the empty one) or that
cannot be printed stands in JSON quotes.
"""

from __future__ import annotations

import json
import re
from typing import TypeVar

from rdsearch.errors import SearchError
from rdsearch.points.point import Scalar

Number = TypeVar("Number", int, float)

_WORDS: dict[str, Scalar] = {"null": None, "true": True, "false": False}
_INT = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|nan|[+-]?inf")


def format_cell(value: Scalar) -> str:
    """The cell of a parameter, such that `parse_cell` gives back the same value and type.

    Raises:
        SearchError: The value is no string, number, bool or ``None``.
    """
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, str):
        bare = value.isprintable() and value != "" and parse_cell(value) == value
        return value if bare else json.dumps(value)
    raise SearchError(
        f"{value!r} is a {type(value).__name__}: a parameter in a table is a string, a number, true, false or null."
    )


def parse_cell(text: str) -> Scalar:
    """The parameter in a cell: null, true, false, an int, a float, a JSON string, else the text as it is."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except json.JSONDecodeError:
            return text
    return text


def parse_number(text: str, kind: type[Number]) -> Number:
    """A cell that must hold a number.

    Raises:
        ValueError: It holds something else.
    """
    if _INT.fullmatch(text) or (kind is float and _FLOAT.fullmatch(text)):
        return kind(text)
    raise ValueError(f"{text!r} is not {'a whole number' if kind is int else 'a number'}")
