"""Live progress of a search: a panel on a terminal and in a notebook, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rdsearch.base.live import display_on
from rdsearch.base.terminal import say
from rdsearch.base.textplot import staircase
from rdsearch.base.units import format_duration, format_size
from rdsearch.base.voice import JsonConsole
from rdsearch.compression.measure import Baseline
from rdsearch.points.front import hypervolume, pareto
from rdsearch.points.point import OperatingPoint
from rdsearch.search.run.events import Listener
from rdsearch.search.study.constraints import feasible, reference_accuracy
from rdsearch.search.study.ledger import Ledger

_SECONDS_BETWEEN_LINES = 5.0
_GROWTH = 0.05
"""Lines come rarer as a search grows longer: at least this share of its time lies between two."""
_SHOWN_POINTS = 5
_FEWEST_PLOTTED = 3
_PLOT = (60, 8)
"""Columns and rows of the plot."""


class Progress:
    """What is known of a running search, and how it looks.

    Args:
        ledger: Counts of trials.
        baseline: The dense network.
        constraints: Bounds that the shown points keep.
        points: What earlier runs of this search have found.
        deadline: ``time.monotonic()`` at which the search's time is up, if it has a limit.
    """

    def __init__(
        self,
        ledger: Ledger,
        baseline: Baseline,
        constraints: Mapping[str, float],
        points: Iterable[OperatingPoint],
        deadline: float | None = None,
    ) -> None:
        self._ledger = ledger
        self._baseline = baseline
        self._constraints = constraints
        self._deadline = deadline
        self._started = time.monotonic()
        self._ended_before = ledger.ended
        self._points = 0
        self._front: list[OperatingPoint] = []
        self.running = 0
        self.add(points)

    def add(self, points: Iterable[OperatingPoint]) -> None:
        """Take in new operating points."""
        new = list(points)
        self._points += len(new)
        self._front = pareto([*self._front, *(point for point in new if feasible(point, self._constraints))])

    @property
    def front(self) -> list[OperatingPoint]:
        """The points found so far that keep the bounds and that no other beats, by rising size."""
        return self._front

    @property
    def hypervolume(self) -> float:
        """Area that the front dominates, in accuracy times octaves of compression."""
        return hypervolume(
            self._front,
            reference_size=self._baseline.size_bytes,
            reference_accuracy=reference_accuracy(self._baseline.accuracy, self._constraints),
        )

    @property
    def elapsed(self) -> float:
        """Seconds that this run has taken so far."""
        return time.monotonic() - self._started

    def seconds_left(self) -> float | None:
        """A guess from the pace of this run's trials; ``None`` before the first has ended."""
        if self._ledger.ended >= self._ledger.target:
            return None
        ended = self._ledger.ended - self._ended_before
        left = [max(0.0, self._deadline - time.monotonic())] if self._deadline is not None else []
        if ended:
            pace = self.elapsed / ended
            left.append(pace * (self._ledger.target - self._ledger.ended))
        return min(left, default=None)

    def line(self) -> str:
        """The state of things in one line."""
        nothing = "none within the bounds yet" if self._points else "no point yet"
        best = f"smallest {format_size(self._front[0].size_bytes)}" if self._front else nothing
        return (
            f"{self._counts()} · {self._points} points, {len(self._front)} on the front · {best} · "
            f"hypervolume {self.hypervolume:.3f} · {self._time()}"
        )

    def event(self) -> dict[str, Any]:
        """The state of things for programs."""
        return {
            "ended": self._ledger.ended,
            "target": self._ledger.target,
            "failed": self._ledger.failed,
            "running": self.running,
            "points": self._points,
            "hypervolume": self.hypervolume,
            "seconds": self.elapsed,
            "seconds_left": self.seconds_left(),
            "front": [{"size_bytes": point.size_bytes, "val_accuracy": point.val_accuracy} for point in self._front],
        }

    def panel(self) -> RenderableType:
        """The state of things for a terminal, 80 columns of which are enough."""
        bar = Table.grid()  # a bar alone does not end its line
        bar.add_row(ProgressBar(total=self._ledger.target, completed=self._ledger.ended, width=60))
        counts = Text(f"{self._counts()} · {self._time()}", no_wrap=True, overflow="ellipsis")
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right")
        for point in _spread(self._front, _SHOWN_POINTS):
            table.add_row(
                format_size(point.size_bytes),
                f"{point.compression_ratio:.1f}×",
                f"val {point.val_accuracy:.4f}",
                f"drop {point.accuracy_drop:+.4f}",
                Text(f"trial {point.trial} round {point.round}", style="dim"),
            )
        summary = f"{self._points} points · {len(self._front)} on the front · hypervolume {self.hypervolume:.3f}"
        return Group(bar, counts, Text(summary, style="dim", no_wrap=True, overflow="ellipsis"), *self._plot(), table)

    def _plot(self) -> list[Text]:
        """The front in a few lines, its ends named."""
        if len(self._front) < _FEWEST_PLOTTED:
            return []
        small, large = self._front[0], self._front[-1]
        rows = staircase(
            [(point.size_bytes, point.val_accuracy) for point in self._front], width=_PLOT[0], height=_PLOT[1]
        )
        heights = [f"{large.val_accuracy:.4f}", *[""] * (len(rows) - 2), f"{small.val_accuracy:.4f}"]
        lines = [f"{height:>8} │{row}" for height, row in zip(heights, rows, strict=True)]
        left, right = format_size(small.size_bytes), format_size(large.size_bytes)
        lines += [f"{'':8} └{'─' * _PLOT[0]}", f"{'':10}{left}{right:>{_PLOT[0] - len(left)}}"]
        return [Text(line, no_wrap=True, overflow="crop") for line in lines]

    def _counts(self) -> str:
        failed = f", {self._ledger.failed} failed" if self._ledger.failed else ""
        return f"{self._ledger.ended}/{self._ledger.target} trials done, {self.running} running{failed}"

    def _time(self) -> str:
        elapsed = format_duration(self.elapsed)
        left = self.seconds_left()
        return elapsed if left is None else f"{elapsed}, about {format_duration(left)} left"


def _spread(front: list[OperatingPoint], count: int) -> list[OperatingPoint]:
    """At most ``count`` points of a front, its ends among them."""
    if len(front) <= count:
        return front
    return [front[round(index * (len(front) - 1) / (count - 1))] for index in range(count)]


class Screen(Listener):
    """Keeps a `Progress` up to date, and shows it.

    Args:
        progress: What to keep up to date.
        console: Where it is shown.
    """

    def __init__(self, progress: Progress, console: Console) -> None:
        self._progress = progress
        self._console = console
        self._next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
        self._display = display_on(console, progress.panel)

    def __enter__(self) -> Screen:
        if self._display is not None:
            self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave the last line on the screen, and the screen to others."""
        if self._display is not None:
            self._display.stop()
        self._tell()

    def _tell(self) -> None:
        if isinstance(self._console, JsonConsole):
            self._console.event("progress", **self._progress.event())
        else:
            say(self._console, self._progress.line())

    def stored(self, point: OperatingPoint) -> None:
        """A round is on the front, or not."""
        self._progress.add([point])

    def turned(self, running: int) -> None:
        """The panel, or else a line now and then."""
        self._progress.running = running
        now = time.monotonic()
        if self._display is not None:
            self._display.turned()
        elif now >= self._next_line:
            self._next_line = now + max(_SECONDS_BETWEEN_LINES, _GROWTH * self._progress.elapsed)
            self._tell()
