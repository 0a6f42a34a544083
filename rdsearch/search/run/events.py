"""What happens to the trials of a run, told to whoever wants to hear of it: the screen, the log, trackers."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune import Callback

from rdsearch.errors import SearchError
from rdsearch.points.point import OperatingPoint, Scalar
from rdsearch.search.run.actors import error_of, was_killed_for_memory
from rdsearch.search.run.trainable import ROUND
from rdsearch.search.store.rounds import Outcome, RoundStore


class Listener:
    """Hears of a run's trials, in the thread of Tune's loop: what takes longer than a blink holds the workers up."""

    def started(self, number: int, parameters: Mapping[str, Scalar]) -> None:
        """A worker takes up a trial, for the first time or again."""

    def stored(self, point: OperatingPoint) -> None:
        """A round is stored that was not before."""

    def ended(self, number: int, outcome: Outcome) -> None:
        """A trial has come to its end."""

    def turned(self, running: int) -> None:
        """Once a turn of Tune's loop, with the number of trials that have a worker."""


class Events(Callback):
    """Tells listeners what Tune's events mean.

    Args:
        store: Where the reported points are read from.
        known: Unfinished trials, with the last round of each that is no news.
        listeners: Who hears of it.
    """

    def __init__(self, store: RoundStore, known: Mapping[int, int], listeners: Sequence[Listener]) -> None:
        self._store = store
        self._newest = dict(known)
        self._listeners = listeners
        self._running: set[str] = set()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker takes up a trial."""
        self._running.add(trial.trial_id)
        for listener in self._listeners:
            listener.started(trial.config["number"], trial.config["parameters"])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A round was reported; a replayed one is known already."""
        number, round_ = result.get("number"), result.get(ROUND)
        if number is None or round_ is None or round_ <= self._newest.get(number, 0):
            return
        self._newest[number] = round_
        point = self._store.point(number, round_)
        for listener in self._listeners:
            listener.stored(point)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has ended, or was stopped."""
        self._over(trial, None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial is given up, unless it is tried again when it has the machine for itself."""
        lost = Outcome("failed", error_of(trial) or "its worker died again and again")
        self._over(trial, None if was_killed_for_memory(trial) else lost)

    def _over(self, trial: Any, otherwise: Outcome | None) -> None:
        """Of a trial that was interrupted the store has no outcome, and its end is still to come."""
        self._running.discard(trial.trial_id)
        number = trial.config["number"]
        self._newest.pop(number, None)
        outcome = otherwise
        with contextlib.suppress(OSError, SearchError):
            outcome = self._store.outcome(number) or otherwise
        if outcome is not None:
            for listener in self._listeners:
                listener.ended(number, outcome)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has lost its worker, and waits for another one."""
        self._running.discard(trial.trial_id)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Once a turn of Tune's loop."""
        # Not counted from `trials`: that holds every trial of this run.
        for listener in self._listeners:
            listener.turned(len(self._running))

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks into a file that nothing reads.
        return {}
