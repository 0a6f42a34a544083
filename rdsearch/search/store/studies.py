"""Where the Optuna study of a search lies: a journal beside its rounds, or a storage that is open already."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rdsearch.base.files import write_atomically
from rdsearch.errors import SearchError
from rdsearch.search.store.journal import BatchedJournal, mend
from rdsearch.search.store.lease import Lease
from rdsearch.search.store.places import Place

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

STUDY_NAME = "rdsearch"
SEGMENTS = "journal"
"""Folder of the pieces of a journal in an object store, each named by its first byte's position."""


class StudyPlace(ABC):
    """A study's name, its storage, and the lock that keeps a second driver away."""

    name: str = STUDY_NAME
    guard: Callable[[], None] | None = None
    """Sees at each `commit` that this driver may still write; raises `SearchError` if not."""

    @property
    def where(self) -> str:
        """What to call it in a message."""
        return f"the study {self.name}"

    @abstractmethod
    def open(self) -> BaseStorage:
        """Optuna's storage, mended after a crash.

        Raises:
            SearchError: It cannot be reached.
        """

    @abstractmethod
    def locked(self) -> AbstractContextManager[None]:
        """Hold the study's lock; it goes with the process, however that ends.

        Raises:
            SearchError: Another driver holds it.
        """

    def batch(self) -> AbstractContextManager[None]:
        """A context in which the study waits for the disk once, at its end."""
        return contextlib.nullcontext()

    def commit(self) -> None:
        """Make safe what was written so far; a recipe is handed out only after that.

        Raises:
            SearchError: That is not possible any more.
        """
        if self.guard is not None:
            self.guard()
        self._commit()

    @abstractmethod
    def _commit(self) -> None:
        """Make safe what was written so far."""


class JournalStudy(StudyPlace):
    """A journal file in the search's folder.

    Args:
        journal: The file; made when it is not there.
        name: What to call a new study; the one that is there keeps its name.
    """

    def __init__(self, journal: Path, name: str = STUDY_NAME) -> None:
        self.journal = journal
        self.name = name
        self._file: BatchedJournal | None = None

    @property
    def where(self) -> str:
        """The file."""
        return str(self.journal)

    def open(self) -> BaseStorage:
        """The journal, cut back to its last whole line.

        Raises:
            SearchError: It is damaged.
        """
        mend(self.journal)
        self._file = BatchedJournal(self.journal)
        storage = _read(self.journal, self._file)
        for study in storage.get_all_studies():
            self.name = study.study_name
        return storage

    def locked(self) -> AbstractContextManager[None]:
        """Nothing beyond the folder's own lock."""
        return contextlib.nullcontext()

    def batch(self) -> AbstractContextManager[None]:
        """One flush a batch."""
        return self._file.batch() if self._file is not None else contextlib.nullcontext()

    def _commit(self) -> None:
        """Nothing: every batch has reached the disk."""


class ShippedJournal(JournalStudy):
    """A journal that is written here and kept, piece by piece, in an object store.

    A piece is uploaded at each `commit` under the position of its first byte. When the journal is opened the
    pieces are put together again, and folded into one: first the whole is written over the piece at position 0,
    then the others go. A piece that begins before the end of what was read already is a part of it, so a crash
    in between changes nothing.

    Args:
        journal: The file on this machine; what it holds before `open` does not count.
        place: The search's place.
        address: How messages call it.
        name: What to call a new study.
    """

    def __init__(self, journal: Path, place: Place, address: str, name: str = STUDY_NAME) -> None:
        super().__init__(journal, name)
        self._place = place
        self._address = address
        self._lease = Lease(place, address)
        self._shipped = 0

    def open(self) -> BaseStorage:
        """The journal as far as it was committed."""
        names = sorted(self._place.names(SEGMENTS))
        pieces = self._place.each(lambda name: self._place.read(_piece(name)), names)
        data = b""
        for name, piece in zip(names, pieces, strict=True):
            if int(name) == len(data):
                data += piece
        if len(names) > 1:
            self._place.write(_piece(names[0]), data)
            self._place.each(lambda name: self._place.remove(_piece(name)), names[1:])
        write_atomically(self.journal, data)
        self._shipped = len(data)
        return super().open()

    def locked(self) -> AbstractContextManager[None]:
        """Hold the lease of the place."""
        return self._lease.held()

    def _commit(self) -> None:
        """Upload what was written since the last time."""
        self._lease.check()
        with self.journal.open("rb") as file:
            file.seek(self._shipped)
            data = file.read()
        if data:
            try:
                self._place.write(_piece(f"{self._shipped:015d}"), data)
            except OSError as error:
                raise SearchError(f"the study cannot be stored in {self._address}: {error}") from error
            self._shipped += len(data)


@dataclass(frozen=True)
class OpenStudy(StudyPlace):
    """A storage that somebody else has opened and guards.

    Attributes:
        storage: Any of Optuna's.
    """

    storage: BaseStorage

    def open(self) -> BaseStorage:
        """The storage."""
        return self.storage

    def locked(self) -> AbstractContextManager[None]:
        """Nothing."""
        return contextlib.nullcontext()

    def _commit(self) -> None:
        """Nothing."""


def study_place(study: StudyPlace | BaseStorage | Path) -> StudyPlace:
    """Where a study lies that is given as a place, a journal file or an open storage."""
    if isinstance(study, StudyPlace):
        return study
    return JournalStudy(study) if isinstance(study, Path) else OpenStudy(study)


def _read(path: Path, journal: BatchedJournal) -> BaseStorage:
    from optuna.storages import JournalStorage

    try:
        return JournalStorage(journal)
    except (ValueError, LookupError, TypeError, AssertionError, RecursionError) as error:
        raise SearchError(
            f"{path} is damaged: {error}; put a copy of it back to go on. `rdsearch front` and `rdsearch report` "
            "read the rounds that are stored beside it, and work without it"
        ) from None


def _piece(name: str) -> str:
    return f"{SEGMENTS}/{name}"
