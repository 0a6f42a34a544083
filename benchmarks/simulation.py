"""Searches in a recorded table, in virtual time: the search's own ledger, samplers and early stopping, without Ray."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.curves import Step
from benchmarks.recorded import Table
from rdsearch.compression.checkpoint import Checkpoint
from rdsearch.config.searchfile import SearchConfig
from rdsearch.config.space import Choice, Range, RecipeSpace
from rdsearch.points.point import OperatingPoint, Scalar
from rdsearch.search.run.trainable import PAST_HOPE
from rdsearch.search.store.rounds import Outcome, RoundStore
from rdsearch.search.study.constraints import past_hope
from rdsearch.search.study.ledger import Ledger

METRICS, MODES = ("size_bytes", "val_accuracy"), ("min", "max")
"""Of the plain set-up."""


class MemoryStore(RoundStore):
    """A round store that keeps everything in memory."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))
        self._points: dict[int, list[OperatingPoint]] = {}
        self._outcomes: dict[int, Outcome] = {}

    def publish(self, trial: int, point: OperatingPoint, checkpoint: Checkpoint | None) -> OperatingPoint:
        self._points.setdefault(trial, []).append(replace(point, trial=trial))
        return self._points[trial][-1]

    def points(self, trial: int) -> list[OperatingPoint]:
        return list(self._points.get(trial, []))

    def point(self, trial: int, number: int) -> OperatingPoint:
        return self._points[trial][number - 1]

    def trials(self) -> Iterator[int]:
        return iter(sorted(self._points))

    def finish(self, trial: int, outcome: Outcome) -> None:
        self._outcomes[trial] = outcome

    def outcome(self, trial: int) -> Outcome | None:
        return self._outcomes.get(trial)

    def last_error(self, trial: int) -> str | None:
        return None


class Contender(Protocol):
    """Something that searches."""

    def propose(self) -> tuple[int, Mapping[str, Scalar]] | None: ...
    def report(self, number: int, point: OperatingPoint, last: bool) -> bool: ...
    def end(self, number: int) -> None: ...


class Ours:
    """The search's own ledger, with a study and a store in memory."""

    def __init__(self, table: Table, config: SearchConfig) -> None:
        from optuna.storages import InMemoryStorage

        self._store, self._config = MemoryStore(), config
        self._ledger = Ledger(InMemoryStorage(), self._store, table.file.space, config, config.trials or 60)

    def propose(self) -> tuple[int, Mapping[str, Scalar]] | None:
        proposal = self._ledger.propose()
        return None if proposal is None else (proposal.number, proposal.parameters)

    def report(self, number: int, point: OperatingPoint, last: bool) -> bool:
        self._store.publish(number, point, None)
        goes_on = self._ledger.report(number, point.round)
        if not goes_on:
            return False
        if not last and past_hope(self._store.points(number), self._config.constraints, self._config.patience):
            self._store.finish(number, PAST_HOPE)
            return False
        return True

    def end(self, number: int) -> None:
        if self._store.outcome(number) is None:
            self._store.finish(number, Outcome("complete"))
        self._ledger.settle(number)


def tune_space(space: RecipeSpace) -> dict[str, Any]:
    """A search space as Ray Tune writes it."""
    from ray import tune

    def range_of(domain: Choice | Range) -> Any:
        if isinstance(domain, Choice):
            return tune.choice(list(domain.values))
        if domain.integer:
            return tune.randint(int(domain.low), int(domain.high) + 1)
        return (tune.loguniform if domain.log else tune.uniform)(domain.low, domain.high)

    return {name: range_of(domain) for name, domain in space.parameters.items()}


class Plain:
    """Ray Tune's `OptunaSearch` as its documentation writes it: two metrics, their modes, a space, a seed."""

    def __init__(self, table: Table, trials: int, seed: int) -> None:
        from ray.tune.search.optuna import OptunaSearch

        self._left = trials
        self._last: dict[int, OperatingPoint] = {}
        self._search = OptunaSearch(metric=list(METRICS), mode=list(MODES), seed=seed)
        self._search.set_search_properties(None, None, tune_space(table.file.space))

    def propose(self) -> tuple[int, Mapping[str, Scalar]] | None:
        if self._left == 0:
            return None
        self._left -= 1
        return self._left, self._search.suggest(str(self._left))

    def report(self, number: int, point: OperatingPoint, last: bool) -> bool:
        self._last[number] = point
        return True

    def end(self, number: int) -> None:
        point = self._last[number]
        self._search.on_trial_complete(
            str(number), {"size_bytes": point.size_bytes, "val_accuracy": point.val_accuracy}
        )


def simulate(
    contender: Contender,
    table: Table,
    *,
    workers: int = 2,
    seconds: float = math.inf,
    noise: np.random.Generator | None = None,
) -> list[Step]:
    """Run a search with some workers until it proposes nothing more, or its time in trial-seconds is up.

    With ``noise`` every accuracy is measured on examples drawn anew.
    """
    steps: list[Step] = []
    events: list[tuple[float, int, Callable[[], None]]] = []
    ticks = itertools.count()

    def start(now: float) -> None:
        proposal = contender.propose()
        if proposal is not None:
            number, parameters = proposal
            rounds = list(table.points(parameters, noise))
            later(now, number, rounds, 0)

    def later(now: float, number: int, rounds: list[OperatingPoint], place: int) -> None:
        end = now + rounds[place].seconds
        heapq.heappush(events, (end, next(ticks), lambda: finish(end, number, rounds, place)))

    def finish(now: float, number: int, rounds: list[OperatingPoint], place: int) -> None:
        last = place + 1 == len(rounds)
        goes_on = contender.report(number, rounds[place], last)
        steps.append(Step(now * workers, rounds[place], last or not goes_on))
        if last or not goes_on:
            contender.end(number)
            start(now)
        else:
            later(now, number, rounds, place + 1)

    for _ in range(workers):
        start(0.0)
    while events:
        now, _, act = heapq.heappop(events)
        if now * workers > seconds:
            break
        act()
    return steps
