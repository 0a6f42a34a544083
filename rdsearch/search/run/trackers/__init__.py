"""Experiment trackers: each trial is a run there, each round a step of it, the recipe its configuration.

Ray's own callbacks for them (``ray.air.integrations``, ``ray.tune.logger``) are no use here: they log what workers
report to Tune, which is the number of a round and not its figures, under runs that a resumed search begins again.
"""

from __future__ import annotations

import importlib.util
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rdsearch.base.terminal import say
from rdsearch.config.searchfile import TRACKERS
from rdsearch.errors import ConfigError
from rdsearch.points.columns import FIGURES
from rdsearch.points.point import OperatingPoint, Scalar
from rdsearch.search.run.events import Listener
from rdsearch.search.store.rounds import Outcome

if TYPE_CHECKING:
    from rich.console import Console

_PATIENCE_SECONDS = 60.0
"""For what a tracker has still to send when the run is over."""
_FIGURES = (*FIGURES, "seconds")


@dataclass(frozen=True)
class Tracked:
    """The search that is tracked.

    Attributes:
        name: Its name.
        identity: What no other search has; the same when it is resumed.
        folder: Where it lies on this machine.
    """

    name: str
    identity: str
    folder: Path


class Tracker(Protocol):
    """One tracker; it is made, and its methods are called, in a thread of its own.

    Attributes:
        where: Where its runs are seen, in a sentence.
    """

    where: str

    @staticmethod
    def missing() -> str | None:
        """What it lacks to work here, in words that follow its name; ``None`` if nothing."""

    def begin(self, trial: int, config: Mapping[str, Scalar]) -> None:
        """Begin the run of a trial, or go on with the one that an earlier run of the search has begun."""

    def log(self, trial: int, step: int, figures: Mapping[str, float]) -> None:
        """Log a round."""

    def end(self, trial: int, outcome: Outcome) -> None:
        """End the run of a trial."""

    def close(self) -> None:
        """The run of the search is over; runs of trials that are still open may be gone on with."""


def require_trackers(names: Iterable[str]) -> None:
    """See that trackers can work, before a search begins.

    Raises:
        ConfigError: A package is missing, or has nobody to log in as.
    """
    problems = [f"{name} {missing}" for name in names if (missing := TRACKERS.load(name).missing()) is not None]
    if problems:
        raise ConfigError("search.trackers", problems)


def not_installed(package: str, extra: str) -> str | None:
    """What to say where a package is missing."""
    if importlib.util.find_spec(package) is not None:
        return None
    return f"needs the package {package}, which is not installed: pip install 'rdsearch[{extra}]'"


class Channel(Listener):
    """Tells a tracker of a run, from a thread of its own: what it does, or fails to do, holds nobody up.

    Args:
        name: The tracker's name.
        tracked: The search.
        console: Where it is said where its runs are seen, and what is wrong with it.
    """

    def __init__(self, name: str, tracked: Tracked, console: Console) -> None:
        self._name = name
        self._tracked = tracked
        self._console = console
        self._jobs: queue.SimpleQueue[Callable[[Tracker], None] | None] = queue.SimpleQueue()
        self._open: set[int] = set()
        self._thread = threading.Thread(target=self._work, daemon=True, name=f"tracker-{name}")
        self._thread.start()

    def started(self, number: int, parameters: Mapping[str, Scalar]) -> None:
        """Begin a run; a trial that has lost its worker has one."""
        if number not in self._open:
            self._open.add(number)
            self._jobs.put(lambda tracker: tracker.begin(number, parameters))

    def stored(self, point: OperatingPoint) -> None:
        """Log a round."""
        number = point.trial
        if number in self._open:
            figures = {name: float(getattr(point, name)) for name in _FIGURES}
            self._jobs.put(lambda tracker: tracker.log(number, point.round, figures))

    def ended(self, number: int, outcome: Outcome) -> None:
        """End a run."""
        if number in self._open:
            self._open.remove(number)
            self._jobs.put(lambda tracker: tracker.end(number, outcome))

    def close(self) -> None:
        """Let it send the rest."""
        self._jobs.put(None)
        self._thread.join(_PATIENCE_SECONDS)
        if self._thread.is_alive():
            self._warn(f"has not come to an end in {_PATIENCE_SECONDS:g} s: what it has not sent may be lost")

    def _work(self) -> None:
        try:
            tracker: Tracker = TRACKERS.load(self._name)(self._tracked)
            say(self._console, tracker.where)
            while (job := self._jobs.get()) is not None:
                job(tracker)
            tracker.close()
        except Exception as error:
            lines = str(error).splitlines()
            said = next((line.strip() for line in lines if line.strip()), "no reason given")
            self._warn(f"fails, and the search goes on without it: {type(error).__name__}: {said}")

    def _warn(self, text: str) -> None:
        say(self._console, f"Warning: the tracker {self._name} {text}", style="yellow")


@contextmanager
def tracked(names: Iterable[str], search: Tracked, console: Console) -> Iterator[list[Channel]]:
    """Trackers that are told of what happens inside."""
    channels = [Channel(name, search, console) for name in names]
    try:
        yield channels
    finally:
        for channel in channels:
            channel.close()
