"""A study in a database, and the lock that the database keeps for it."""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdsearch.errors import SearchError
from rdsearch.search.store.lock import FolderLock
from rdsearch.search.store.patience import patiently
from rdsearch.search.store.studies import StudyPlace

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage

_DRIVER = "driver"
"""Attribute of a study that tells who drives it, or was the last to do so."""


class DatabaseStudy(StudyPlace):
    """A study in a database, under a name of its own, by Optuna's `RDBStorage`.

    A database that is away for a while is waited for. Its lock went with the connection, and is taken again, unless
    another driver has been at work in between.

    Args:
        url: The database's, as SQLAlchemy has it.
        name: The study's, which no other search of the database has.
    """

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = name
        self._opened: RDBStorage | None = None
        self._lock: Any = None
        self._token = uuid.uuid4().hex
        self._signed = False

    def open(self) -> BaseStorage:
        """The database, with Optuna's tables made where they are missing."""
        import sqlalchemy
        from optuna.exceptions import StorageInternalError

        from rdsearch.search.store.patient import PatientStorage

        try:
            self._opened = PatientStorage(self.url, lambda error: _unreachable(self.url, error))
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
        self._signed = False
        self._lock = self._take()
        try:
            yield
        finally:
            self._lock.close()
            self._lock = None
            self.close()

    def _commit(self) -> None:
        """See that the lock is held: what was written, the database has made safe."""
        if self._lock is None or self._opened is None:
            return
        if not self._lock.is_alive():
            self._take_again(self._opened)
        if not self._signed:
            self._opened.set_study_user_attr(self._opened.get_study_id_from_name(self.name), _DRIVER, self._token)
            self._signed = True

    def _take(self) -> _Lock:
        import sqlalchemy

        try:
            return _Lock(self.url, self.name)
        except ImportError as error:
            raise _no_driver(self.url, error) from None
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise _unreachable(self.url, error) from None

    def _take_again(self, storage: RDBStorage) -> None:
        self._lock.close()
        # The server may hold the lock for the lost connection for a while.
        self._lock = patiently(self._take, lambda error: isinstance(error, SearchError))
        study = storage.get_study_id_from_name(self.name)
        if self._signed and storage.get_study_user_attrs(study).get(_DRIVER) != self._token:
            raise SearchError(
                f"the study {self.name} in {_shown(self.url)} was taken over by another driver while the database was "
                "away; this driver stops here"
            )


class _Lock:
    """A connection that holds a lock."""

    def __init__(self, url: str, name: str) -> None:
        import sqlalchemy

        # A transaction that stays open for the whole search would hold up the database's housekeeping.
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool, isolation_level="AUTOCOMMIT")
        lock = _LOCKS[engine.dialect.name]
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self._connection = stack.enter_context(engine.connect())
            if not stack.enter_context(lock(self._connection, name)):
                raise SearchError(
                    f"the study {name} in {_shown(url)} is in use by another driver: wait for it to end, or stop it, "
                    "before going on here"
                )
            self._stack = stack.pop_all()

    def is_alive(self) -> bool:
        """Whether the database still knows the connection."""
        import sqlalchemy

        try:
            self._connection.execute(sqlalchemy.text("SELECT 1"))
        except sqlalchemy.exc.SQLAlchemyError:
            return False
        return True

    def close(self) -> None:
        """Let the lock go, with the connection."""
        import sqlalchemy

        with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError):
            self._stack.close()


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
            stack.enter_context(FolderLock(database.with_name(f".{database.name}.{name}.lock")).held())
        except SearchError:
            yield False
        else:
            yield True


_LOCKS: dict[str, Callable[[Any, str], AbstractContextManager[bool]]] = {
    "postgresql": _postgresql,
    "mysql": _mysql,
    "sqlite": _sqlite,
}


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
