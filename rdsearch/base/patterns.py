"""Layers by name: glob patterns over the names of weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from rdsearch.base.registry import suggest
from rdsearch.errors import PruningError


def matches(name: str, pattern: str) -> bool:
    """Whether ``pattern`` means the weight called ``name``.

    A pattern is matched against the weight's name (``"features.0.weight"``) and its layer's
    (``"features.0"``), with ``*`` going across dots. A name that equals the pattern matches whatever
    characters it holds.
    """
    layer = name.rpartition(".")[0]
    return any(candidate == pattern or fnmatchcase(candidate, pattern) for candidate in (name, layer))


def require_matches(patterns: Iterable[str], names: Sequence[str], setting: str) -> None:
    """Check that each pattern means at least one of ``names``.

    Raises:
        PruningError: A pattern of ``setting`` matches nothing; the message lists the names.
    """
    for pattern in patterns:
        if not any(matches(name, pattern) for name in names):
            raise PruningError(
                f"{setting}: pattern {pattern!r} matches no layer. "
                f"The layers are {', '.join(names)}.{suggest(pattern, names)}"
            )
