"""Loops that numba turns into machine code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile ``function`` at its first call, and keep the result on disk where a place for it is writable."""
    try:
        return cast("F", numba.njit(cache=True)(function))
    except RuntimeError:  # neither the package's folder nor a home is writable, as in many containers
        return cast("F", numba.njit(function))
