"""Seeded blocks of code that leave the caller's random state as it was."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

from rdsearch.errors import TaskError

SEEDS = 2**63
"""So many seeds does torch tell apart as whole numbers that are not negative."""


def checked_seed(seed: int) -> int:
    """A seed that a user gave, as a plain int.

    Raises:
        TaskError: It is no whole number, negative, or too large.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < SEEDS:
        raise TaskError(f"seed = {seed!r}: give a whole number from 0 to 2**63 - 1")
    return int(seed)


@contextlib.contextmanager
def isolated_rng(seed: int) -> Iterator[None]:
    """Seed torch, numpy's global generator and ``random`` inside the block, and restore all three after it.

    A user's network (dropout, initial weights) and transforms draw from these global generators, which is
    why a private generator alone would not make their results repeatable.
    """
    numpy_state = np.random.get_state()  # noqa: NPY002 - the global one is what foreign code draws from
    python_state = random.getstate()
    with _isolated_torch(seed):
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)


@contextlib.contextmanager
def _isolated_torch(seed: int) -> Iterator[None]:
    if not torch.accelerator.is_available():
        # `torch.manual_seed` would format the call stack for each kind of device that might come to be: a millisecond,
        # twenty times a round.
        state = torch.get_rng_state()
        torch.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            torch.set_rng_state(state)
        return
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
