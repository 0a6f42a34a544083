"""The round store: what every trial has reported, one folder a round, published whole or not at all.

::

    trials/00012/round_003/point.json            figures and parameters
                           network.rdz           the file itself
                           checkpoint.safetensors   only in the newest round of an unfinished trial
    trials/00012/draft_004                       of a round with a long training, while it is at work
    trials/00012/outcome.json                    once the trial has ended
                 errors.log                      tracebacks, if a worker met any

In a folder a round is written under a temporary name, flushed to disk, and renamed. In an object store, which knows
no rename, ``point.json`` comes last, and names the file that it belongs to. Either way a reader, or a driver that
starts after a crash, sees all of a round or nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError

from rdsearch.compression.checkpoint import Checkpoint
from rdsearch.errors import SearchError
from rdsearch.points.point import OperatingPoint
from rdsearch.retraining.rate.draft import Draft
from rdsearch.search.store.places import Folder, Place

POINT, NETWORK, CHECKPOINT = "point.json", "network.rdz", "checkpoint.safetensors"
OUTCOME, ERRORS = "outcome.json", "errors.log"
_ROUND, _DRAFT = "round_", "draft_"
_FILE = "file"
_NOT_STORED = ("path", "data", "test_accuracy")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial ended: all its rounds done, stopped early, or given up; the last two with a reason."""

    state: Literal["complete", "stopped", "failed"]
    message: str = ""


class RoundStore:
    """The rounds of all trials of a search.

    Args:
        place: The search's ``trials``: a folder of this machine, or a place of another kind.
    """

    def __init__(self, place: Path | Place) -> None:
        self.place = Folder(place.absolute()) if isinstance(place, Path) else place

    def publish(self, trial: int, point: OperatingPoint, checkpoint: Checkpoint | None) -> OperatingPoint:
        """Store a round for good; return its point as the store will give it from now on.

        A round that is there already stays as it is: the first report counts.

        Args:
            trial: The trial's number.
            point: Its newest point, with the file in ``data``.
            checkpoint: What the next round starts from; ``None`` after the last one.

        Raises:
            SearchError: The disk is full, or the place cannot be written.
        """
        if point.data is None:
            raise ValueError("an operating point without its file cannot be stored")
        name = self._round(trial, point.round)
        file = self.place.part_name(NETWORK)
        parts = {file: point.data, POINT: json.dumps(_stored(trial, point) | {_FILE: file}, indent=1).encode()}
        if checkpoint is not None:
            parts[CHECKPOINT] = checkpoint.to_bytes()
        try:
            self.place.publish(name, parts, marker=POINT)
            if point.round > 1:
                self.place.remove(f"{self._round(trial, point.round - 1)}/{CHECKPOINT}")
            self.place.remove(self._draft(trial, point.round))
        except OSError as error:
            raise SearchError(
                f"round {point.round} of trial {trial} cannot be stored in {self.place.where(name)}: {error}"
            ) from error
        return self._read_point(name)

    def count(self, trial: int) -> int:
        """Number of rounds that a trial has stored."""
        return len(self._rounds(trial))

    def points(self, trial: int) -> list[OperatingPoint]:
        """The stored points of one trial, by round."""
        return self.place.each(self._read_point, self._rounds(trial))

    def point(self, trial: int, number: int) -> OperatingPoint:
        """The stored point of one round."""
        return self._read_point(self._round(trial, number))

    def all_points(self) -> list[OperatingPoint]:
        """The stored points of every trial, by trial and round."""
        return [point for points in self.place.each(self.points, self.trials()) for point in points]

    def trials(self) -> Iterator[int]:
        """Numbers of the trials that have reported anything, in order."""
        return (int(name) for name in sorted(self.place.names("")) if name.isdigit())

    def checkpoint(self, trial: int) -> Checkpoint | None:
        """Where the trial stands: the checkpoint of its newest round that has one; ``None`` before the first.

        One that is damaged is passed over: the rounds up to it are computed again, and those that are stored stay.
        """
        for name in reversed(self._rounds(trial)):
            try:
                return Checkpoint.from_bytes(self.place.read(f"{name}/{CHECKPOINT}"), _number(name))
            except FileNotFoundError:
                continue
            except (ValueError, KeyError, SafetensorError) as error:
                where = self.place.where(f"{name}/{CHECKPOINT}")
                self.log_error(trial, f"{where} is damaged, and the rounds up to it are computed again: {error}")
        return None

    def draft(self, trial: int, number: int) -> Draft:
        """Where a long training within a round keeps its state."""
        name = self._draft(trial, number)

        def read() -> bytes | None:
            try:
                return self.place.read(name)
            except FileNotFoundError:
                return None

        def write(data: bytes) -> None:
            try:
                self.place.write(name, data)
            except OSError as error:
                raise SearchError(
                    f"the draft of round {number} of trial {trial} cannot be stored in {self.place.where(name)}: "
                    f"{error}"
                ) from error

        return Draft(read, write)

    def finish(self, trial: int, outcome: Outcome) -> None:
        """Record how a trial ended, and let its checkpoint go."""
        self.place.write(f"{_folder(trial)}/{OUTCOME}", json.dumps(asdict(outcome)).encode())
        self.place.each(lambda name: self.place.remove(f"{name}/{CHECKPOINT}"), self._rounds(trial))
        drafts = [name for name in self.place.names(_folder(trial)) if name.startswith(_DRAFT)]
        self.place.each(lambda name: self.place.remove(f"{_folder(trial)}/{name}"), drafts)

    def outcome(self, trial: int) -> Outcome | None:
        """How a trial ended; ``None`` while it has not."""
        name = f"{_folder(trial)}/{OUTCOME}"
        try:
            return Outcome(**json.loads(self.place.read(name)))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise SearchError(
                f"{self.place.where(name)} is damaged: {error}; remove it to have the trial looked at again"
            ) from None

    def log_error(self, trial: int, text: str) -> None:
        """Keep what went wrong in a worker, for whoever looks into it; the trial may be tried again."""
        self.place.write(f"{_folder(trial)}/{ERRORS}", f"{self._errors(trial)}{text.rstrip()}\n".encode())

    def last_error(self, trial: int) -> str | None:
        """The last line that `log_error` kept: the error itself, after its traceback."""
        lines = self._errors(trial).splitlines()
        return lines[-1] if lines else None

    def _errors(self, trial: int) -> str:
        try:
            return self.place.read(f"{_folder(trial)}/{ERRORS}").decode()
        except FileNotFoundError:
            return ""

    def _rounds(self, trial: int) -> list[str]:
        """Names of a trial's rounds, in order."""
        return sorted(self.place.published(_folder(trial), marker=POINT), key=_number)

    def _round(self, trial: int, number: int) -> str:
        return f"{_folder(trial)}/{_ROUND}{number:03d}"

    def _draft(self, trial: int, number: int) -> str:
        return f"{_folder(trial)}/{_DRAFT}{number:03d}"

    def _read_point(self, name: str) -> OperatingPoint:
        try:
            fields = json.loads(self.place.read(f"{name}/{POINT}"))
            path = self.place.path(f"{name}/{fields.pop(_FILE, NETWORK)}")
            return OperatingPoint(**fields, path=path)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise SearchError(
                f"{self.place.where(f'{name}/{POINT}')} cannot be read: {error}; move the folder away to go on "
                "without it"
            ) from None


def _folder(trial: int) -> str:
    return f"{trial:05d}"


def _number(name: str) -> int:
    return int(name.rpartition(_ROUND)[2])


def _stored(trial: int, point: OperatingPoint) -> dict[str, Any]:
    fields = {name: getattr(point, name) for name in OperatingPoint.__dataclass_fields__}
    return {name: value for name, value in fields.items() if name not in _NOT_STORED} | {"trial": trial}
