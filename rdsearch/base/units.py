"""Sizes, shares, durations and numbers, from what people write and to what they read."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from rdsearch.errors import RdsearchError

_PREFIX = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_SIZE_NAMES = ("kB", "MB", "GB", "TB")

_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "min": 60, "s": 1}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(d|h|min|m|s)\s*", re.IGNORECASE)
_SHARE = re.compile(r"((?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?)\s*(%?)", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")


class UnitError(RdsearchError, ValueError):
    """A text that is no size, or no duration."""


def parse_size(text: str) -> int:
    """Read a size in bytes.

    ``k``, ``M``, ``G``, ``T`` count in thousands (with or without ``B``, in any case) and ``Ki``, ``Mi``,
    ``Gi``, ``Ti`` in 1024s; a bare number is bytes. A fraction of a byte is cut off.

    Args:
        text: ``"20k"``, ``"1.5 MB"``, ``"16KiB"``, ``"812"``.

    Returns:
        The size in bytes, at least 1.

    Raises:
        UnitError: The text is none of these, or less than a byte.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[3] and not match[2]):
        raise UnitError(
            f"{text!r} is no size: give a number of bytes, with k, M or G for thousands "
            "or Ki, Mi, Gi for 1024s (20k = 20 000, 16KiB = 16 384, 1.5MB = 1 500 000)."
        )
    number, prefix, binary = match.groups()
    size = int(Decimal(number) * (1024 if binary else 1000) ** _PREFIX[prefix.lower()])
    if size < 1:
        raise UnitError(f"{text!r} is less than a byte: give a size of 1 or more (20k = 20 000 bytes).")
    return size


def format_size(size_bytes: float) -> str:
    """A size in three significant digits: ``812 B``, ``8.56 kB``, ``1.08 MB`` (thousands, not 1024s)."""
    if round(size_bytes) < 1000:
        return f"{size_bytes:.0f} B"
    scaled = float(size_bytes)
    for name in _SIZE_NAMES:
        scaled /= 1000
        digits = _three_digits(scaled)
        if float(digits) < 1000:
            return f"{digits} {name}"
    return f"{scaled:.0f} {_SIZE_NAMES[-1]}"


def _three_digits(value: float) -> str:
    for decimals, limit in ((2, 9.995), (1, 99.95)):
        if value < limit:
            return f"{value:.{decimals}f}"
    return f"{value:.0f}"


def parse_share(text: str) -> float:
    """Read a share of 1.

    Args:
        text: ``"0.01"``, or a percentage: ``"1%"``, ``"1 %"``.

    Returns:
        The share, not below 0; above 1 where the text says so, as scores may be of any size.

    Raises:
        UnitError: The text is none of these.
    """
    match = _SHARE.fullmatch(text.strip())
    if match is None:
        raise UnitError(f"{text!r} is no share: give a part of 1, or a percentage (0.01 and 1% are the same).")
    return float(Decimal(match[1]) / (100 if match[2] else 1))


def parse_duration(text: str) -> float:
    """Read a duration in seconds.

    Args:
        text: ``"2h"``, ``"90m"``, ``"90min"``, ``"1h30m"``, ``"1d 12h"``, ``"45s"``, or just a number, of
            seconds.

    Returns:
        Seconds, above 0.

    Raises:
        UnitError: The text is none of these, or zero.
    """
    rest = text.strip()
    seconds = float(rest) if _NUMBER.fullmatch(rest) else _sum_of_parts(rest)
    if seconds is None:
        raise UnitError(f"{text!r} is no duration: give seconds, or d, h, m (min) and s (45s, 90m, 2h, 1h30m).")
    if seconds <= 0:
        raise UnitError(f"{text!r} is no time at all: give a duration above 0 (45s, 90m, 2h).")
    return seconds


def _sum_of_parts(text: str) -> float | None:
    """Seconds of ``1h30m`` and the like; ``None`` when the text is anything else."""
    seconds, position = 0.0, 0
    while position < len(text):
        match = _DURATION_PART.match(text, position)
        if match is None:
            return None
        seconds += float(match[1]) * _SECONDS[match[2].lower()]
        position = match.end()
    return seconds if text else None


def format_duration(seconds: float) -> str:
    """A duration in at most two units: ``0.35 s``, ``12.3 s``, ``2 min 05 s``, ``1 h 30 min``."""
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 1_440:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3_600)
    return f"{hours // 24} d {hours % 24:02d} h"


def standard_error(accuracy: float, examples: int) -> float:
    """Standard error of an accuracy (a share of 1) measured on so many examples: sqrt(a (1 - a) / n)."""
    return math.sqrt(max(accuracy * (1.0 - accuracy), 0.0) / examples)


def format_number(value: float) -> str:
    """A number for reading at a glance, in two digits or so: ``0.31``, ``250``, ``1e-05``.

    Just below 1, where shares of what goes lie, the digits are those of what is missing: ``0.925``, ``0.9963``.
    """
    if 99.5 <= abs(value) < 1e6:
        return f"{value:.0f}"
    missing = 1 - abs(value)
    if 1e-9 < missing < 0.1:
        return f"{round(value, 1 - math.floor(math.log10(missing))):.10g}"
    return f"{value:.2g}"
