"""Whether what is not on this machine may be fetched."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_ALLOWED = ContextVar("downloads", default=True)


@contextlib.contextmanager
def without_downloads() -> Iterator[None]:
    """Inside the block data and weights that are not on this machine are missing, and not fetched."""
    token = _ALLOWED.set(False)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def downloads_allowed() -> bool:
    """Whether the code that runs now may fetch anything."""
    return _ALLOWED.get()
