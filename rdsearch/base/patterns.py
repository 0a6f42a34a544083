"""Layers by name: glob patterns over the names of weights."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

from rdsearch.base.registry import suggest
from rdsearch.errors import PruningError, QuantizationError


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


def require_weights(patterns: Collection[str], names: Sequence[str], vectors: Sequence[str], setting: str) -> None:
    """Check that each pattern means at least one weight.

    Args:
        patterns: Of a setting that counts for weights alone.
        names: The weights.
        vectors: The other parameters.
        setting: Its name, for the message.

    Raises:
        PruningError: A pattern matches nothing.
        QuantizationError: A pattern matches vectors alone.
    """
    for pattern in patterns:
        found = [name for name in vectors if matches(name, pattern)]
        if found and not any(matches(name, pattern) for name in names):
            raise QuantizationError(
                f"{setting}: pattern {pattern!r} names no weight but {len(found)} of the vectors, which have bits of "
                f"their own ({found[0]}, ...): leave it out, and set quantization.bias_bits"
            )
    require_matches(patterns, names, setting)
