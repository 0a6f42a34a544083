"""The log of a search: all that is said, every phase and round with its time, and what Ray and its workers say."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from logging.handlers import MemoryHandler, RotatingFileHandler
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from rdsearch.base.terminal import LOGGER, printable
from rdsearch.base.units import format_duration
from rdsearch.points.point import OperatingPoint, Scalar
from rdsearch.points.scalars import format_cell
from rdsearch.search.run.events import Listener
from rdsearch.search.store.rounds import Outcome

TRIALS = logging.getLogger(f"{LOGGER.name}.trials")
WORKERS = logging.getLogger("ray.workers")
UNSAID = (TRIALS.name, "ray")
"""Loggers of what stands in the log alone, unless `--verbose` shows it."""
_OF_NO_USE = "ray.tune.analysis"
"""Misses the files in which Tune would keep results a second time."""
_FORM = "%(asctime)s %(name)s: %(message)s"
_MOST_BYTES = 16 * 2**20
"""Of a log; what a network of the user's prints goes in as well. As much again is kept under another name."""
_LINES_BEFORE = 10_000
"""That are kept in memory until there is a folder."""
_SECRET = re.compile("pass|secret|token|credential|key", re.IGNORECASE)
"""In the names of environment variables whose values are no text for a log."""
_SHORTEST_SECRET = 6


class _Formatter(logging.Formatter):
    """Times and names, nothing that steers a terminal, and no secret of the environment."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record).replace("\n", "\n    ")
        for name, value in os.environ.items():
            if _SECRET.search(name) and len(value) >= _SHORTEST_SECRET:
                text = text.replace(value, f"<{name}>")
        return "\n".join(printable(line) for line in text.split("\n"))


class _LogFile(RotatingFileHandler):
    """A full disk ends a search elsewhere, with a sentence."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Nothing."""


class Log:
    """What is said while there is no folder yet waits for it."""

    def __init__(self) -> None:
        self._waiting = MemoryHandler(_LINES_BEFORE, flushLevel=logging.CRITICAL + 1)

    def into(self, path: Path) -> None:
        """Write what was said, and what will be, to a file, below what stands there."""
        file = _LogFile(path, maxBytes=_MOST_BYTES, backupCount=1, encoding="utf-8", delay=True)
        file.setFormatter(_Formatter(_FORM))
        self._waiting.setTarget(file)
        self._waiting.flush()
        self._waiting.capacity = 1

    @contextlib.contextmanager
    def listening(self) -> Iterator[Log]:
        """It hears what is said inside; without a file at the end, that is forgotten."""
        with _heard(self._waiting):
            try:
                yield self
            finally:
                file = self._waiting.target
                self._waiting.close()
                if file is not None:
                    file.close()


class OnConsole(logging.Handler):
    """Shows what otherwise stands in the log alone.

    Args:
        console: Where.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        # Not as the handler's own: Ray gives another one to every handler that it finds.
        self._form = _Formatter(_FORM, datefmt="%H:%M:%S")

    def emit(self, record: logging.LogRecord) -> None:
        """Print a line."""
        if record.name.startswith(UNSAID):
            self._console.print(Text(self._form.format(record), style="dim"), soft_wrap=True)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """It hears what is said inside."""
        with _heard(self):
            yield


@contextlib.contextmanager
def _heard(handler: logging.Handler) -> Iterator[None]:
    """A handler hears this package and Ray; what Ray's own handlers show is no matter of this."""
    before, loggers = LOGGER.level, (LOGGER, logging.getLogger("ray"))
    handler.addFilter(lambda record: not record.name.startswith(_OF_NO_USE))
    for logger in loggers:
        logger.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOGGER.setLevel(before)
        for logger in loggers:
            logger.removeHandler(handler)


def worker_lines(data: Mapping[str, Any]) -> None:
    """Take in lines that Ray brings from a worker's standard output and error, as it hands them to be printed."""
    if data["pid"] == "autoscaler":
        return  # the state of every node, each five seconds
    for line in data["lines"]:
        WORKERS.info("%s: %s", data["pid"], line)


class TrialLog(Listener):
    """Writes a line for each start, round and end of a trial."""

    def started(self, number: int, parameters: Mapping[str, Scalar]) -> None:
        """The recipe."""
        recipe = ", ".join(f"{name}={format_cell(value)}" for name, value in sorted(parameters.items()))
        TRIALS.info("trial %d begins: %s", number, recipe)

    def stored(self, point: OperatingPoint) -> None:
        """The figures."""
        TRIALS.info(
            "trial %d, round %d: %s bytes, val %.4f, drop %+.4f, sparsity %.4f, in %s",
            point.trial,
            point.round,
            f"{point.size_bytes:,}",
            point.val_accuracy,
            point.accuracy_drop,
            point.sparsity,
            format_duration(point.seconds),
        )

    def ended(self, number: int, outcome: Outcome) -> None:
        """How, and why."""
        TRIALS.info("trial %d: %s%s", number, outcome.state, f", {outcome.message}" if outcome.message else "")
