"""Where the Optuna study of a search lies: a journal beside its rounds, or a database."""

from __future__ import annotations

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdsearch.errors import SearchError
from rdsearch.files import write_atomically
from rdsearch.search.journal import BatchedJournal, exclusive, mend
from rdsearch.search.lease import Lease
from rdsearch.search.places import Place

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage

STUDY_NAME = "rdsearch"
SEGMENTS = "journal"
"""Folder of the pieces of a journal in an object store, each named by its first byte's position."""


class StudyPlace(ABC):
    """A study's name, its storage, and the lock that keeps a second driver away."""

    name: str = STUDY_NAME

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

    @abstractmethod
    def commit(self) -> None:
        """Make safe what was written so far; a recipe is handed out only after that.

        Raises:
            SearchError: That is not possible any more.
        """


class JournalStudy(StudyPlace):
    """A journal file in the search's folder.

    Args:
        journal: The file; made when it is not there.
    """

    def __init__(self, journal: Path) -> None:
        self.journal = journal
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
        return _read(self.journal, self._file)

    def locked(self) -> AbstractContextManager[None]:
        """Nothing beyond the folder's own lock."""
        return contextlib.nullcontext()

    def batch(self) -> AbstractContextManager[None]:
        """One flush a batch."""
        return self._file.batch() if self._file is not None else contextlib.nullcontext()

    def commit(self) -> None:
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
    """

    def __init__(self, journal: Path, place: Place, address: str) -> None:
        super().__init__(journal)
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

    def commit(self) -> None:
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


class DatabaseStudy(StudyPlace):
    """A study in a database, under a name of its own, by Optuna's `RDBStorage`.

    Args:
        url: The database's, as SQLAlchemy has it.
        name: The study's, which no other search of the database has.
    """

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = name
        self._opened: RDBStorage | None = None

    def open(self) -> BaseStorage:
        """The database, with Optuna's tables made where they are missing."""
        import sqlalchemy
        from optuna.exceptions import StorageInternalError
        from optuna.storages import RDBStorage

        # A connection that was cut while no trial ended is opened anew.
        engine = {"pool_pre_ping": True}
        try:
            self._opened = RDBStorage(self.url, engine_kwargs=engine)
        except ImportError as error:
            raise _no_driver(self.url, error) from None
        except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError, RuntimeError) as error:
            raise _unreachable(self.url, error) from None
        return self._opened

    def close(self) -> None:
        """Close the connections that `open` has left open."""
        if self._opened is not None:
            self._opened.remove_session()
            self._opened.engine.dispose()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """A lock that the database holds for one connection, and lets go when that ends."""
        import sqlalchemy

        try:
            # A transaction that stays open for the whole search would hold up the database's housekeeping.
            engine = sqlalchemy.create_engine(
                self.url, poolclass=sqlalchemy.pool.NullPool, isolation_level="AUTOCOMMIT"
            )
            lock = _LOCKS[engine.dialect.name]
            connection = engine.connect()
        except ImportError as error:
            raise _no_driver(self.url, error) from None
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise _unreachable(self.url, error) from None
        with connection, lock(connection, self.name) as taken:
            if not taken:
                raise SearchError(
                    f"the study {self.name} in {_shown(self.url)} is in use by another driver: wait for it to end, "
                    "or stop it, before going on here"
                )
            try:
                yield
            finally:
                self.close()

    def commit(self) -> None:
        """Nothing: the database has done so."""


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

    def commit(self) -> None:
        """Nothing."""


def study_place(study: StudyPlace | BaseStorage | Path) -> StudyPlace:
    """Where a study lies that is given as a place, a journal file or an open storage."""
    if isinstance(study, StudyPlace):
        return study
    return JournalStudy(study) if isinstance(study, Path) else OpenStudy(study)


@contextlib.contextmanager
def _postgresql(connection: Any, name: str) -> Iterator[bool]:
    import sqlalchemy

    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    yield bool(connection.scalar(sqlalchemy.text("SELECT pg_try_advisory_lock(:key)"), {"key": key}))


@contextlib.contextmanager
def _mysql(connection: Any, name: str) -> Iterator[bool]:
    import sqlalchemy

    yield connection.scalar(sqlalchemy.text("SELECT GET_LOCK(:name, 0)"), {"name": name[:64]}) == 1


@contextlib.contextmanager
def _sqlite(connection: Any, name: str) -> Iterator[bool]:
    database = Path(connection.engine.url.database)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(exclusive(database.with_name(f".{database.name}.{name}.lock")))
        except SearchError:
            yield False
        else:
            yield True


_LOCKS: dict[str, Callable[[Any, str], AbstractContextManager[bool]]] = {
    "postgresql": _postgresql,
    "mysql": _mysql,
    "sqlite": _sqlite,
}


def _read(path: Path, journal: BatchedJournal) -> BaseStorage:
    from optuna.storages import JournalStorage

    try:
        return JournalStorage(journal)
    except (ValueError, LookupError, TypeError, AssertionError) as error:
        raise SearchError(
            f"{path} is damaged: {error}; put a copy of it back to go on. `rdsearch front` and `rdsearch report` "
            "read the rounds that are stored beside it, and work without it"
        ) from None


def _piece(name: str) -> str:
    return f"{SEGMENTS}/{name}"


def _shown(url: str) -> str:
    return url.partition("?")[0]


def _no_driver(url: str, error: Exception) -> SearchError:
    extra = ": `pip install 'rdsearch[postgresql]'`" if url.startswith("postgresql") else ""
    return SearchError(f"{_shown(url)} needs a database driver that is not installed ({error}){extra}")


def _unreachable(url: str, error: Exception) -> SearchError:
    cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    return SearchError(
        f"the database {_shown(url)} cannot be used: {cause}; see that it runs, and that PGPASSWORD or ~/.pgpass "
        "(PostgreSQL) or an option file (MySQL) has the password"
    )
