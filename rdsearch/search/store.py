"""The round store: what every trial has reported, one folder a round, published whole or not at all.

::

    trials/00012/round_003/point.json            figures and parameters
                           network.rdz           the file itself
                           checkpoint.safetensors   only in the newest round of an unfinished trial
    trials/00012/outcome.json                    once the trial has ended
                 errors.log                      tracebacks, if a worker met any

A round is written under a temporary name, flushed to disk, and renamed: a reader, or a driver that starts
after a crash, sees all of it or nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rdsearch.compression import Checkpoint
from rdsearch.errors import SearchError
from rdsearch.files import write_atomically
from rdsearch.point import OperatingPoint

POINT, NETWORK, CHECKPOINT = "point.json", "network.rdz", "checkpoint.safetensors"
OUTCOME, ERRORS = "outcome.json", "errors.log"
_ROUND = "round_"
_NOT_STORED = ("path", "data", "test_accuracy")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial ended: all its rounds done, stopped early, or given up; the last two with a reason."""

    state: Literal["complete", "stopped", "failed"]
    message: str = ""


class RoundStore:
    """The rounds of all trials of a search.

    Args:
        root: The search's ``trials`` folder; an absolute path, since trials run in other working directories.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def publish(self, trial: int, point: OperatingPoint, checkpoint: Checkpoint | None) -> OperatingPoint:
        """Store a round for good; return its point as the store will give it from now on.

        A round that is there already stays as it is: the first report counts.

        Args:
            trial: The trial's number.
            point: Its newest point, with the file in ``data``.
            checkpoint: What the next round starts from; ``None`` after the last one.

        Raises:
            SearchError: The disk is full or cannot be written.
        """
        if point.data is None:
            raise ValueError("an operating point without its file cannot be stored")
        final = self._round(trial, point.round)
        draft = final.with_name(f".{final.name}.{uuid.uuid4().hex}")
        try:
            draft.mkdir(parents=True)
            _write(draft / NETWORK, point.data)
            if checkpoint is not None:
                _write(draft / CHECKPOINT, checkpoint.to_bytes())
            _write(draft / POINT, json.dumps(_stored(trial, point), indent=1).encode())
            _flush_folder(draft)
            with contextlib.suppress(FileExistsError, NotADirectoryError):
                _rename(draft, final)
            _flush_folder(final.parent)
        except OSError as error:
            raise SearchError(f"round {point.round} of trial {trial} cannot be stored in {final}: {error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        if point.round > 1:
            (self._round(trial, point.round - 1) / CHECKPOINT).unlink(missing_ok=True)
        return _read_point(final)

    def points(self, trial: int) -> list[OperatingPoint]:
        """The stored points of one trial, by round."""
        folder = self._trial(trial)
        names = (name for name in _listing(folder) if name.startswith(_ROUND))
        return [_read_point(folder / name) for name in sorted(names, key=lambda name: int(name[len(_ROUND) :]))]

    def point(self, trial: int, number: int) -> OperatingPoint:
        """The stored point of one round."""
        return _read_point(self._round(trial, number))

    def all_points(self) -> list[OperatingPoint]:
        """The stored points of every trial, by trial and round."""
        return [point for trial in self.trials() for point in self.points(trial)]

    def trials(self) -> Iterator[int]:
        """Numbers of the trials that have a folder, in order."""
        return (int(name) for name in sorted(_listing(self.root)) if name.isdigit())

    def checkpoint(self, trial: int) -> Checkpoint | None:
        """Where the trial stands: the checkpoint of its newest round that has one; ``None`` before the first."""
        for point in reversed(self.points(trial)):
            path = self._round(trial, point.round) / CHECKPOINT
            if path.exists():
                return Checkpoint.from_bytes(path.read_bytes(), point.round)
        return None

    def finish(self, trial: int, outcome: Outcome) -> None:
        """Record how a trial ended, and let its checkpoint go."""
        folder = self._trial(trial)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / OUTCOME, json.dumps(asdict(outcome)).encode())
        for checkpoint in folder.glob(f"{_ROUND}*/{CHECKPOINT}"):
            checkpoint.unlink(missing_ok=True)

    def outcome(self, trial: int) -> Outcome | None:
        """How a trial ended; ``None`` while it has not."""
        path = self._trial(trial) / OUTCOME
        try:
            return Outcome(**json.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise SearchError(f"{path} is damaged: {error}; remove it to have the trial looked at again") from None

    def log_error(self, trial: int, text: str) -> None:
        """Keep what went wrong in a worker, for whoever looks into it; the trial may be tried again."""
        folder = self._trial(trial)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ERRORS).open("a", encoding="utf-8") as file:
            file.write(text.rstrip() + "\n")

    def last_error(self, trial: int) -> str | None:
        """The last line that `log_error` kept: the error itself, after its traceback."""
        path = self._trial(trial) / ERRORS
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return lines[-1] if lines else None

    def _trial(self, trial: int) -> Path:
        return self.root / f"{trial:05d}"

    def _round(self, trial: int, number: int) -> Path:
        return self._trial(trial) / f"{_ROUND}{number:03d}"


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _rename(draft: Path, final: Path) -> None:
    try:
        draft.rename(final)
    except OSError:
        # A rename onto a folder that has content fails with different codes on different file systems.
        if not (final / POINT).exists():
            raise


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _listing(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []


def _stored(trial: int, point: OperatingPoint) -> dict[str, Any]:
    fields = {name: getattr(point, name) for name in OperatingPoint.__dataclass_fields__}
    return {name: value for name, value in fields.items() if name not in _NOT_STORED} | {"trial": trial}


def _read_point(folder: Path) -> OperatingPoint:
    try:
        fields = json.loads((folder / POINT).read_bytes())
        return OperatingPoint(**fields, path=folder / NETWORK)
    except (OSError, ValueError, TypeError) as error:
        raise SearchError(
            f"{folder / POINT} cannot be read: {error}; move the folder away to go on without it"
        ) from None
