"""A study in a database, and the lock that the database keeps for it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdsearch.errors import SearchError
from rdsearch.search.store.journal import exclusive
from rdsearch.search.store.studies import StudyPlace

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage


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
