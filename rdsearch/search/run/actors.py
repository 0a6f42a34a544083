"""Tune's manager of workers, as a search needs it: it forgives a worker killed for memory, and keeps up with thousands.

A worker that Ray has killed for memory is a lost worker for Tune, whose trial is tried again.
"""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray.air.execution._internal import RayActorManager
from ray.air.execution._internal.event_manager import RayEventManager
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.tune.execution import tune_controller

KILLED_FOR_MEMORY = "its worker was killed since the machine's memory ran out"

_PYTHON_ERROR = re.compile(r"(?!ray\.)[\w.]*(Error|Exception): ")


class ReadyEvents(RayEventManager):
    """What workers are asked for, of which Tune takes one that is ready at each turn of its loop.

    Tune's own shows all of it at every turn, and asks Ray about each: with thousands of workers that takes longer than
    what the turn is for. This one asks once for all that is ready, and shows that, until it has been taken.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ready: list[Any] = []

    def get_futures(self) -> set[Any]:
        """One that is ready, if any is; else all."""
        while self._ready and self._ready[-1] not in self._tracked_futures:
            self._ready.pop()
        if not self._ready and self._tracked_futures:
            futures = list(self._tracked_futures)
            self._ready, _ = ray.wait(futures, num_returns=len(futures), timeout=0)
            random.shuffle(self._ready)
        return {self._ready[-1]} if self._ready else set(self._tracked_futures)


class _ForgivingActorManager(RayActorManager):
    """Tune's manager of workers, to which every way of losing a worker is the same.

    It raises out of Tune's loop, and so out of the search, what is neither a dead worker nor an error of a trial:
    most of all what Ray's memory monitor leaves of a worker that it has killed.
    """

    def __init__(self, resource_manager: Any) -> None:
        super().__init__(resource_manager)
        self._actor_task_events = ReadyEvents()

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        super()._actor_task_failed(tracked_actor_task, _as_lost_worker(exception))

    def _actor_start_failed(self, tracked_actor: Any, exception: Exception) -> None:
        super()._actor_start_failed(tracked_actor, _as_lost_worker(exception))


def _as_lost_worker(exception: Exception) -> Exception:
    if not isinstance(exception, RayError) or isinstance(exception, RayActorError | RayTaskError):
        return exception
    said = KILLED_FOR_MEMORY if isinstance(exception, OutOfMemoryError) else _first_line(exception)
    return RayActorError(error_msg=said)


@contextlib.contextmanager
def forgiving_actors() -> Iterator[None]:
    """Tune runs inside with a manager of workers that forgives."""
    before = vars(tune_controller)["RayActorManager"]
    vars(tune_controller)["RayActorManager"] = _ForgivingActorManager
    try:
        yield
    finally:
        vars(tune_controller)["RayActorManager"] = before


def was_killed_for_memory(trial: Any) -> bool:
    """Whether that is how a trial of Tune lost its worker the last time: Tune notes it in a file of the trial."""
    with contextlib.suppress(OSError, TypeError):
        return Path(trial.error_file).read_text().rstrip().endswith(KILLED_FOR_MEMORY)
    return False


def error_of(trial: Any) -> str:
    """The error that a trial of Tune ended with, where it is one of Python's; empty for a worker that was lost."""
    with contextlib.suppress(OSError, TypeError):
        lines = Path(trial.error_file).read_text().rstrip().splitlines()
        if lines and _PYTHON_ERROR.match(lines[-1]):
            return lines[-1].strip()
    return ""


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
