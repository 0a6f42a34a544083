"""Searches in a recorded table, in virtual time: the search's own ledger, samplers and early stopping, without Ray."""

from __future__ import annotations

import csv
import gzip
import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.curves import Step
from rdsearch.compression.checkpoint import Checkpoint
from rdsearch.compression.measure import Baseline
from rdsearch.config.searchfile import SearchConfig, SearchFile, load_search_file
from rdsearch.config.space import Choice, Range, RecipeSpace
from rdsearch.points.point import OperatingPoint, Scalar
from rdsearch.search.run.trainable import PAST_HOPE
from rdsearch.search.store.rounds import Outcome, RoundStore
from rdsearch.search.study.constraints import past_hope
from rdsearch.search.study.ledger import Ledger

ROUNDS = "pruning.rounds"
METRICS, MODES = ("size_bytes", "val_accuracy"), ("min", "max")
"""Of the plain set-up."""


class Table:
    """What every recipe of a space would have measured.

    Between recorded values of a range, accuracy and the logarithms of size and seconds are interpolated linearly (in
    the logarithm of the value where the range is so searched), and accuracies rounded to whole validation examples.
    """

    def __init__(self, space: Path, examples: int, baseline: Baseline) -> None:
        self.file: SearchFile = load_search_file(space)
        self.examples, self.baseline = examples, baseline
        self.constraints = self.file.search.constraints
        self.domains = {name: domain for name, domain in self.file.space.parameters.items() if name != ROUNDS}
        with gzip.open(space.with_suffix(".csv.gz"), "rt", newline="") as stream:
            rows = list(csv.DictReader(stream))
        self._axes = {name: np.array(_coordinates(domain)) for name, domain in self.domains.items()}
        shape = [len(axis) for axis in self._axes.values()]
        rounds = max(int(row["round"]) for row in rows)
        self._values = np.full((*shape, rounds, 3), np.nan)
        places = {
            name: {text: place for place, text in enumerate(_texts(domain))} for name, domain in self.domains.items()
        }
        for row in rows:
            place = tuple(places[name][row[name]] for name in self.domains if row[name] in places[name])
            if len(place) == len(self.domains):
                figures = math.log(int(row["size_bytes"])), float(row["val_accuracy"]), math.log(float(row["seconds"]))
                self._values[(*place, int(row["round"]) - 1)] = figures
        if np.isnan(self._values).any():
            raise SystemExit(f"{space.with_suffix('.csv.gz')} lacks recipes: go on with benchmarks.record_table")

    def recorded(self) -> Iterator[OperatingPoint]:
        """Every point that was recorded."""
        grids = (
            domain.values if isinstance(domain, Choice) else domain.grid() or () for domain in self.domains.values()
        )
        for values in itertools.product(*grids):
            yield from self.points(dict(zip(self.domains, values, strict=True)) | {ROUNDS: self._values.shape[-2]})

    def points(self, parameters: Mapping[str, Scalar]) -> Iterator[OperatingPoint]:
        """The rounds of a recipe."""
        corners: list[list[tuple[int, float]]] = []
        for name, domain in self.domains.items():
            corners.append(_corners(self._axes[name], _coordinate(domain, parameters[name])))
        figures = np.zeros(self._values.shape[-2:])
        for corner in itertools.product(*corners):
            weight = math.prod(share for _, share in corner)
            figures += weight * self._values[tuple(place for place, _ in corner)]
        for round_ in range(1, int(parameters[ROUNDS]) + 1):
            log_size, accuracy, log_seconds = figures[round_ - 1]
            accuracy = round(accuracy * self.examples) / self.examples
            size = round(math.exp(log_size))
            yield OperatingPoint(
                size_bytes=size,
                val_accuracy=accuracy,
                accuracy_drop=self.baseline.accuracy - accuracy,
                compression_ratio=self.baseline.size_bytes / size,
                sparsity=0.0,
                rate_bits_per_weight=0.0,
                seconds=math.exp(log_seconds),
                round=round_,
                parameters=parameters,
                data=b"",
            )


def _coordinates(domain: Choice | Range) -> list[float]:
    if isinstance(domain, Choice):
        return [float(place) for place in range(len(domain.values))]
    return [_coordinate(domain, value) for value in domain.grid() or ()]


def _coordinate(domain: Choice | Range, value: Scalar) -> float:
    if isinstance(domain, Choice):
        return float(domain.values.index(value))
    return math.log(float(value)) if domain.log else float(value)


def _texts(domain: Choice | Range) -> list[str]:
    return [f"{value:.6g}" if isinstance(value, float) else str(value) for value in domain.grid() or ()]


def _corners(axis: np.ndarray, at: float) -> list[tuple[int, float]]:
    if len(axis) == 1:
        return [(0, 1.0)]
    right = int(np.clip(np.searchsorted(axis, at), 1, len(axis) - 1))
    share = float(np.clip((at - axis[right - 1]) / (axis[right] - axis[right - 1]), 0, 1))
    return [(place, weight) for place, weight in ((right - 1, 1 - share), (right, share)) if weight > 0]


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


def simulate(contender: Contender, table: Table, *, workers: int = 2, seconds: float = math.inf) -> list[Step]:
    """Run a search with some workers until it proposes nothing more, or its time in trial-seconds is up."""
    steps: list[Step] = []
    events: list[tuple[float, int, Callable[[], None]]] = []
    ticks = itertools.count()

    def start(now: float) -> None:
        proposal = contender.propose()
        if proposal is not None:
            number, parameters = proposal
            rounds = list(table.points(parameters))
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
