"""What Python gives as settings, in the values that a file can hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

from rdsearch.errors import ConfigError


def plain(value: Any, source: str, path: str = "") -> Any:
    """Settings as a YAML file would give them: mappings, lists, text, numbers, true, false, null.

    Numpy's scalars and arrays, tuples, ranges and paths become what they stand for.

    Args:
        value: Settings, or a part of them.
        source: Where they came from, for the message.
        path: The part's place in them.

    Raises:
        ConfigError: Something is none of these.
    """
    if value is None or type(value) in (str, bool, int, float):
        return value
    if isinstance(value, Mapping):
        return {key: plain(entry, source, f"{path}.{key}" if path else str(key)) for key, entry in value.items()}
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist(), source, path)
    if isinstance(value, list | tuple | range):
        return [plain(entry, source, path) for entry in value]
    if isinstance(value, PurePath):
        return str(value)
    for kind in (str, bool, int, float):  # members of an enumeration, and other children of these
        if isinstance(value, kind):
            return kind(value)
    raise ConfigError(source, [f"{path or 'it'}: a {type(value).__name__} is no text, number, list or mapping"])
