"""Loops that numba turns into machine code, and rows shared out between threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def compiled(function: F) -> F:
    """Compile ``function`` at its first call, and keep the result on disk where a place for it is writable.

    It lets other threads run meanwhile, see `in_threads`.
    """
    try:
        return cast("F", numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # neither the package's folder nor a home is writable, as in many containers
        return cast("F", numba.njit(nogil=True)(function))


def in_threads(work: Callable[[slice], T], rows: int, threads: int) -> list[T]:
    """Call a function with all rows, in order, some at a time in each of some threads.

    Args:
        work: Called with the rows that it shall treat; rows do not depend on each other.
        rows: How many there are.
        threads: At most so many; as many as torch may use is right for what a trial does.

    Returns:
        What it answered, in the order of the rows.
    """
    count = max(1, min(rows, threads))
    ends = [rows * number // count for number in range(count + 1)]
    parts = [slice(start, stop) for start, stop in pairwise(ends)]
    if count == 1:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, parts))
