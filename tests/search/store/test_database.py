"""Studies in databases."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rdsearch.errors import SearchError
from rdsearch.search.store.database import DatabaseStudy
from tests.search.books import Books, ledger, states
from tests.search.postgresql import Server, has_postgresql, postgresql_server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'studies.db'}"
    return str(request.getfixturevalue("postgresql").url)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    if not has_postgresql():
        pytest.skip("PostgreSQL is not installed here (Debian: apt-get install postgresql)")
    with postgresql_server() as server:
        yield server


Database = Callable[[str], DatabaseStudy]


@pytest.fixture
def database(url: str, tmp_path: Path) -> Iterator[Database]:
    """Make a study of this test's own in the database."""
    made: list[DatabaseStudy] = []

    def make(name: str) -> DatabaseStudy:
        made.append(DatabaseStudy(url, f"{name}-{tmp_path.name}"))
        return made[-1]

    yield make
    for study in made:
        study.close()


class TestDatabaseStudy:
    def test_a_search_goes_on_where_it_was(self, database: Database, tmp_path: Path) -> None:
        study, books = database("goes-on"), Books(tmp_path)
        first = ledger(study, books)
        proposals = [first.propose() for _ in range(2)]
        books.complete(0)
        first.settle(0)

        second = ledger(database("goes-on"), books)
        assert (second.complete, second.propose()) == (1, proposals[1])
        assert states(database("goes-on")) == ["COMPLETE", "RUNNING"]

    def test_searches_in_one_database_do_not_meet(self, database: Database, tmp_path: Path) -> None:
        one, two = database("one"), database("two")
        ledger(one, Books(tmp_path / "one")).propose()
        ledger(two, Books(tmp_path / "two"))
        assert (states(database("one")), states(database("two"))) == (["RUNNING"], [])

    def test_second_driver_of_a_study_gets_a_clear_error(self, database: Database) -> None:
        one, other = database("one"), database("other")
        with one.locked(), other.locked(), pytest.raises(SearchError, match="in use by another driver"), one.locked():
            pass
        with one.locked():
            pass

    def test_a_study_that_is_gone_while_its_rounds_are_not(self, database: Database, tmp_path: Path) -> None:
        books = Books(tmp_path)
        books.complete(0)
        with pytest.raises(SearchError, match="rounds of this search are stored"):
            ledger(database("gone"), books)


def test_database_that_does_not_answer_is_a_clear_error() -> None:
    study = DatabaseStudy("postgresql+psycopg://nobody@127.0.0.1:1/none", "none")
    for use in (study.open, study.locked().__enter__):
        with pytest.raises(SearchError, match=r"127\.0\.0\.1:1/none cannot be used: .*refused"):
            use()


def test_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(SearchError, match=r"pip install 'rdsearch\[postgresql\]'"):
        DatabaseStudy("postgresql+psycopg://nobody@127.0.0.1:1/none", "none").open()


def test_a_database_that_is_away_for_seconds_is_waited_for_and_its_lock_taken_again(
    postgresql: Server, tmp_path: Path
) -> None:
    study, second = (DatabaseStudy(postgresql.url, f"away-{tmp_path.name}") for _ in range(2))
    books = Books(tmp_path)
    with study.locked():
        running = ledger(study, books)
        running.commit()
        first = running.propose()
        assert first is not None
        running.commit()
        postgresql.stop()
        threading.Timer(1.5, postgresql.start).start()
        started = time.monotonic()
        proposal = running.propose()  # waits
        assert proposal is not None
        assert proposal.number == 1
        assert time.monotonic() - started > 1
        running.commit()
        with pytest.raises(SearchError, match="in use by another driver"), second.locked():
            pass
        books.complete(0)
        running.settle(0)
        running.commit()
    with second.locked():
        assert states(second) == ["COMPLETE", "RUNNING"]


def test_a_driver_whose_lock_went_with_the_database_stops_once_another_has_been_at_work(
    postgresql: Server, tmp_path: Path
) -> None:
    study, second = (DatabaseStudy(postgresql.url, f"lost-{tmp_path.name}") for _ in range(2))
    with study.locked():
        running = ledger(study, Books(tmp_path))
        running.commit()
        postgresql.stop()
        postgresql.start()
        with second.locked():
            ledger(second, Books(tmp_path)).commit()
        running.propose()
        with pytest.raises(SearchError, match="taken over by another driver"):
            running.commit()


def test_a_database_that_stays_away_ends_the_run_with_a_sentence(
    postgresql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdsearch.search.store.patient.PATIENCE_SECONDS", 1.0)
    study = DatabaseStudy(postgresql.url, f"gone-{tmp_path.name}")
    with study.locked():
        running = ledger(study, Books(tmp_path))
        running.commit()
        postgresql.stop()
        try:
            with pytest.raises(SearchError, match=r"the database .* cannot be used"):
                running.propose()
            with pytest.raises(SearchError, match=r"the database .* cannot be used"):
                running.propose()
        finally:
            postgresql.start()
