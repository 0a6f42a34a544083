"""The round store: what every trial has reported, one folder a round, published whole or not at all.

::

    trials/00012/round_003/point.json            figures and parameters
                           network.rdz           the file itself
                           checkpoint.safetensors   only in the newest round of an unfinished trial
    trials/00012/.round_004.draft                how far a long round has come, until it is stored
    trials/00012/outcome.json                    once the trial has ended
                 errors.log                      tracebacks, if a worker met any

In a folder a round is written under a temporary name, flushed to disk, and renamed. In an object store, which knows
no rename, ``point.json`` comes last, and names the file that it belongs to. Either way a reader, or a driver that
starts after a crash, sees all of a round or nothing.

``point.json`` has a checksum of itself and of its file, and a checkpoint one of its own. A round that does not fit
them is passed over.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from safetensors import SafetensorError

from rdsearch.compression.checkpoint import Checkpoint
from rdsearch.errors import SearchError
from rdsearch.points.columns import FIGURES
from rdsearch.points.point import OperatingPoint
from rdsearch.retraining.rate.draft import Draft
from rdsearch.search.store.news import News
from rdsearch.search.store.places import Folder, Place, read_without_links

POINT, NETWORK, CHECKPOINT = "point.json", "network.rdz", "checkpoint.safetensors"
OUTCOME, ERRORS = "outcome.json", "errors.log"
_ROUND = "round_"
_FILE = "file"
_NOT_STORED = ("path", "data", "test_accuracy")
_SEAL = "checksum"
_CHECKSUM_BYTES = 32
_NETWORK_NAME = re.compile(r"network(-[0-9a-f]{12})?\.rdz")


_SCORES = frozenset({"val_accuracy", "accuracy_drop"})


class DamagedRoundError(SearchError):
    """A round whose figures are not what was stored."""


State = Literal["complete", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial ended: all its rounds done, stopped early, or given up; the last two with a reason."""

    state: State
    message: str = ""


class RoundStore:
    """The rounds of all trials of a search.

    Args:
        place: The search's ``trials``: a folder of this machine, or a place of another kind.
        copy: A folder of this machine with what the place held when the search was opened; trials that end since
            are put there as well.

    Attributes:
        damaged: What is wrong with each round that was met and passed over, in a line, by its name.
    """

    def __init__(self, place: Path | Place, copy: Path | None = None) -> None:
        self.place = Folder(place.absolute()) if isinstance(place, Path) else place
        self.damaged: dict[str, str] = {}
        self._copy = None if copy is None else RoundStore(copy)
        self._news = News(self.place, copy)
        self._drafts: set[str] = set()

    def publish(self, trial: int, point: OperatingPoint, checkpoint: Checkpoint | None) -> OperatingPoint:
        """Store a round for good; return its point as the store will give it from now on.

        A round that is there already stays as it is, unless it is damaged: the first report counts.

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
        fields = _stored(trial, point) | {"sha256": sha256(point.data), _FILE: file}
        parts = {file: point.data, POINT: sealed(fields)}
        if checkpoint is not None:
            parts[CHECKPOINT] = checkpoint.to_bytes()
        try:
            if self.damaged.pop(name, None):
                self.place.withdraw(name, marker=POINT)
            ours = self.place.publish(name, parts, marker=POINT)
            self._remove_draft(trial, point.round)
            if point.round > 1:
                self.place.remove(f"{self._round(trial, point.round - 1)}/{CHECKPOINT}")
        except OSError as error:
            raise SearchError(
                f"round {point.round} of trial {trial} cannot be stored in {self.place.where(name)}: {error}"
            ) from error
        if not ours:
            return self._read_point(name)
        if self._news.of(trial) is not None:
            self._news.add(trial, {f"{name}/{POINT}": parts[POINT].decode()})
        return self._point_of(name, parts[POINT])

    def news(self, trial: int, round_: int) -> str:
        """What a worker tells the driver of a round that is stored: the driver then need not read it."""
        if not self._news.wanted:
            return "{}"
        point, outcome = f"{self._round(trial, round_)}/{POINT}", f"{_folder(trial)}/{OUTCOME}"
        ended = self._news.content(trial, outcome)
        told = {point: self._read(point)} | ({outcome: ended} if ended is not None else {})
        return json.dumps({name: data.decode() for name, data in told.items()})

    def learn(self, trial: int, news: str) -> None:
        """Take note of a worker's `news`."""
        self._news.add(trial, json.loads(news))

    def begin(self, trial: int) -> None:
        """Keep in memory what is stored of a trial from now on: by this process, a worker, or as others tell it."""
        self._news.add(trial, {})

    def let_go(self, trial: int) -> None:
        """Forget what was told of a trial that is settled."""
        self._news.let_go(trial, ended=self._is_told_whole(trial))

    def has_ended(self, trial: int) -> bool:
        """Whether a trial that has just reported a round has its outcome."""
        return self._is_told_whole(trial) if self._news.of(trial) else self.outcome(trial) is not None

    def count(self, trial: int) -> int:
        """Number of rounds that a trial has stored, as far as this process was told where it was told of any."""
        told = self._news.of(trial)
        return len(self._rounds(trial) if told is None else _rounds_of(told))

    def points(self, trial: int) -> list[OperatingPoint]:
        """The stored points of one trial, by round; a damaged one is passed over, and noted in ``damaged``."""
        if self._copy is not None and self._copy.place.exists(f"{_folder(trial)}/{OUTCOME}"):
            return self._of_copy(self._copy.points(trial))
        told = self._news.of(trial) if self._is_told_whole(trial) else None
        return self._points(self._rounds(trial) if told is None else _rounds_of(told))

    def heard(self, trial: int) -> list[OperatingPoint]:
        """The points of a trial as far as this process was told of them; those stored, where it was told of none."""
        told = self._news.of(trial)
        return self._points(_rounds_of(told)) if told else self.points(trial)

    def _of_copy(self, points: list[OperatingPoint]) -> list[OperatingPoint]:
        if self._copy is not None:
            self.damaged |= self._copy.damaged
        return points

    def _points(self, names: list[str]) -> list[OperatingPoint]:
        found = self.place.each(self._point_or_none, names)
        return [point for point in found if point is not None]

    def point(self, trial: int, number: int) -> OperatingPoint:
        """The stored point of one round."""
        return self._read_point(self._round(trial, number))

    def file_name(self, point: OperatingPoint) -> str:
        """Where the file of a stored point lies in the search's folder."""
        return f"trials/{self._round(point.trial or 0, point.round)}/{point.path.name if point.path else NETWORK}"

    def all_points(self) -> list[OperatingPoint]:
        """The stored points of every trial, by trial and round; of the copy, where there is one."""
        if self._copy is not None:
            return self._of_copy(self._copy.all_points())
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
        """Where a long training within a round keeps its state; see `write_draft`."""
        return Draft(partial(self.read_draft, trial, number), partial(self.write_draft, trial, number))

    def write_draft(self, trial: int, round_: int, data: bytes) -> None:
        """Keep how far a round has come that takes long; it goes when the round is stored, or its trial ends.

        Raises:
            SearchError: The disk is full, or the place cannot be written.
        """
        name = self._draft(trial, round_)
        try:
            self.place.write(name, hashlib.sha256(data).digest() + data)
        except OSError as error:
            raise SearchError(f"{self.place.where(name)} cannot be written: {error}") from error
        self._drafts.add(name)

    def read_draft(self, trial: int, round_: int) -> bytes | None:
        """How far a round had come when its worker ended; ``None`` where nothing was kept, or it is damaged."""
        name = self._draft(trial, round_)
        try:
            kept = self.place.read(name)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SearchError(f"{self.place.where(name)} cannot be read: {error}") from None
        self._drafts.add(name)
        checksum, data = kept[:_CHECKSUM_BYTES], kept[_CHECKSUM_BYTES:]
        return data if hashlib.sha256(data).digest() == checksum else None

    def _draft(self, trial: int, round_: int) -> str:
        return f"{_folder(trial)}/.{_ROUND}{round_:03d}.draft"

    def _remove_draft(self, trial: int, round_: int) -> None:
        """In an object store it costs a request, so only if it is there."""
        name = self._draft(trial, round_)
        if name in self._drafts:
            self._drafts.discard(name)
            self.place.remove(name)

    def finish(self, trial: int, outcome: Outcome) -> None:
        """Record how a trial ended, and let its checkpoint go, and what was left half done."""
        self.place.sweep(_folder(trial))
        content = json.dumps(asdict(outcome))
        self.place.write(f"{_folder(trial)}/{OUTCOME}", content.encode())
        if self._news.of(trial) is not None:
            self._news.add(trial, {f"{_folder(trial)}/{OUTCOME}": content})
        kept = [name for name in self.place.tree(_folder(trial)) if name.endswith(f"/{CHECKPOINT}")]
        self.place.each(self.place.remove, kept)

    def outcome(self, trial: int) -> Outcome | None:
        """How a trial ended; ``None`` while it has not."""
        name = f"{_folder(trial)}/{OUTCOME}"
        try:
            outcome = Outcome(**json.loads(self._read(name)))
            if outcome.state not in get_args(State) or not isinstance(outcome.message, str):
                raise ValueError(f"its state is {outcome.state!r}")
            return outcome
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, RecursionError) as error:
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

    def _read(self, name: str) -> bytes:
        """A file's content: as it was told, or as it is stored."""
        data = self._news.content(_trial(name), name)
        return self.place.read(name) if data is None else data

    def _is_told_whole(self, trial: int) -> bool:
        """Whether all of a trial was told, from the first round to its outcome: each worker tells of every round."""
        return f"{_folder(trial)}/{OUTCOME}" in (self._news.of(trial) or {})

    def _rounds(self, trial: int) -> list[str]:
        """Names of a trial's rounds, in order."""
        return sorted(self.place.published(_folder(trial), marker=POINT), key=_number)

    def _round(self, trial: int, number: int) -> str:
        return f"{_folder(trial)}/{_ROUND}{number:03d}"

    def _point_or_none(self, name: str) -> OperatingPoint | None:
        try:
            return self._read_point(name)
        except DamagedRoundError as error:
            self.damaged[name] = str(error)
            return None

    def _read_point(self, name: str) -> OperatingPoint:
        file = f"{name}/{POINT}"
        try:
            data = self._read(file)
        except FileNotFoundError:
            raise DamagedRoundError(f"{self.place.where(file)} is missing; the round counts for nothing") from None
        except OSError as error:
            raise SearchError(f"{self.place.where(file)} cannot be read: {error}") from None
        return self._point_of(name, data)

    def _point_of(self, name: str, data: bytes) -> OperatingPoint:
        try:
            fields = unsealed(data)
            file = fields.pop(_FILE)
            if not isinstance(file, str) or not _NETWORK_NAME.fullmatch(file):
                raise ValueError(f"it names {file!r} as its file")
            path = self.place.path(f"{name}/{file}")
            point = OperatingPoint(**fields, path=path)
            _check(point, name)
            return point
        except (ValueError, TypeError, LookupError) as error:
            where = self.place.where(f"{name}/{POINT}")
            raise DamagedRoundError(f"{where} is damaged: {error}; the round counts for nothing") from None


def sha256(data: bytes) -> str:
    """The checksum of a stored file, hex."""
    return hashlib.sha256(data).hexdigest()


def sealed(content: Mapping[str, Any]) -> bytes:
    """A mapping as JSON, with the checksum of its content in it."""
    return json.dumps({**content, _SEAL: _seal(content)}, indent=1).encode()


def unsealed(data: bytes) -> dict[str, Any]:
    """What `sealed` was given.

    Raises:
        ValueError: It is no JSON, or the checksum does not fit the content.
    """
    try:
        content = json.loads(data)
    except RecursionError:
        raise ValueError("it nests too deep") from None
    if not isinstance(content, dict) or content.pop(_SEAL, None) != _seal(content):
        raise ValueError("its checksum does not fit its content")
    return content


def size_fault_of(point: OperatingPoint) -> str:
    """Whether a stored point's file on this machine has another size than the point says, in a line."""
    try:
        found = point.path.lstat().st_size if point.path is not None else point.size_bytes
    except FileNotFoundError:  # of a copy of an object store, into which files come when they are needed
        return ""
    if found == point.size_bytes:
        return ""
    return f"{point.path} has {found} bytes, and its round says {point.size_bytes}; the round counts for nothing"


def fault_of(point: OperatingPoint) -> str:
    """What is wrong with a stored point's file on this machine, in a line; empty if nothing is."""
    where = f"the file of trial {point.trial}, round {point.round}, {point.path},"
    try:
        data = read_without_links(point.path) if point.path is not None else None
    except OSError as error:
        return f"{where} cannot be read: {error.strerror or error}"
    if data is None or len(data) != point.size_bytes or point.sha256 not in (None, sha256(data)):
        return f"{where} is missing, or damaged: its checksum does not fit; the round counts for nothing"
    return ""


def _seal(content: Mapping[str, Any]) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode())


def _check(point: OperatingPoint, name: str) -> None:
    if (point.trial, point.round) != (_trial(name), _number(name)):
        raise ValueError(f"it is of trial {point.trial}, round {point.round}")
    for field in (*FIGURES, "seconds"):
        value = getattr(point, field)
        # A score that is no number fails its trial, and damages nothing.
        finite = field in _SCORES or (isinstance(value, int | float) and math.isfinite(value))
        if isinstance(value, bool) or not isinstance(value, int | float) or not finite:
            raise ValueError(f"its {field} is {value!r}")
    if not isinstance(point.parameters, dict):
        raise ValueError("its parameters are no mapping")


def _folder(trial: int) -> str:
    return f"{trial:05d}"


def _number(name: str) -> int:
    return int(name.rpartition(_ROUND)[2])


def _trial(name: str) -> int:
    return int(name.partition("/")[0])


def _rounds_of(told: Mapping[str, str]) -> list[str]:
    """Names of the rounds among told files, in order."""
    return sorted((name.rpartition("/")[0] for name in told if name.endswith(f"/{POINT}")), key=_number)


def _stored(trial: int, point: OperatingPoint) -> dict[str, Any]:
    fields = {name: getattr(point, name) for name in OperatingPoint.__dataclass_fields__}
    return {name: value for name, value in fields.items() if name not in _NOT_STORED} | {"trial": trial}
