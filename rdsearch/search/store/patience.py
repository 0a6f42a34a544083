"""Waiting for what is away for a while: a database that restarts, an object store that is busy."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

R = TypeVar("R")

PATIENCE_SECONDS = 60.0
_FIRST_SECONDS = 0.2
_LONGEST_SECONDS = 5.0


def patiently(call: Callable[[], R], passes: Callable[[Exception], bool], seconds: float | None = None) -> R:
    """What ``call`` gives, tried again with growing pauses as long as what it raises may pass.

    Args:
        call: May be made more than once.
        passes: Whether an error may be gone a little later.
        seconds: For how long; `PATIENCE_SECONDS` when not given.
    """
    deadline = time.monotonic() + (PATIENCE_SECONDS if seconds is None else seconds)
    pause = _FIRST_SECONDS
    while True:
        try:
            return call()
        except Exception as error:
            # Spread, so that many workers do not come back all at once.
            wait = pause * random.uniform(0.5, 1.5)
            if not passes(error) or time.monotonic() + wait > deadline:
                raise
        time.sleep(wait)
        pause = min(2 * pause, _LONGEST_SECONDS)
