"""A study that is shipped to an object store."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdsearch.errors import SearchError
from rdsearch.search.store.places import Folder
from rdsearch.search.store.studies import ShippedJournal
from tests.search.books import Books, ledger, states


class TestShippedJournal:
    @pytest.fixture
    def place(self, tmp_path: Path) -> Folder:
        return Folder(tmp_path / "remote")

    def shipped(self, place: Folder, here: Path) -> ShippedJournal:
        here.mkdir(exist_ok=True)
        return ShippedJournal(here / "study.journal", place, "s3://bucket/one")

    def test_what_was_committed_is_there_on_another_machine(self, place: Folder, tmp_path: Path) -> None:
        books = Books(tmp_path)
        first = ledger(self.shipped(place, tmp_path / "a"), books)
        proposals = [first.propose() for _ in range(2)]
        first.commit()
        books.complete(0)
        first.settle(0)
        first.commit()

        second = ledger(self.shipped(place, tmp_path / "b"), books)
        assert second.complete == 1
        again = second.propose()
        assert again == proposals[1]

    def test_what_was_not_committed_is_not_there(self, place: Folder, tmp_path: Path) -> None:
        books = Books(tmp_path)
        first = ledger(self.shipped(place, tmp_path / "a"), books)
        first.commit()
        first.propose()
        assert states(self.shipped(place, tmp_path / "b")) == []

    def test_opening_folds_the_pieces_into_one(self, place: Folder, tmp_path: Path) -> None:
        books = Books(tmp_path)
        first = ledger(self.shipped(place, tmp_path / "a"), books)
        for _ in range(3):
            first.propose()
            first.commit()
        assert len(place.names("journal")) == 3
        assert states(self.shipped(place, tmp_path / "b")) == ["RUNNING"] * 3
        assert place.names("journal") == ["000000000000000"]
        assert place.read("journal/000000000000000") == (tmp_path / "a" / "study.journal").read_bytes()

    def test_a_crash_while_folding_changes_nothing(self, place: Folder, tmp_path: Path) -> None:
        books = Books(tmp_path)
        first = ledger(self.shipped(place, tmp_path / "a"), books)
        for _ in range(3):
            first.propose()
            first.commit()
        whole = (tmp_path / "a" / "study.journal").read_bytes()
        # The whole is written over the first piece, and the others are still there.
        place.write("journal/000000000000000", whole)
        assert states(self.shipped(place, tmp_path / "b")) == ["RUNNING"] * 3
        assert (tmp_path / "b" / "study.journal").read_bytes() == whole

    def test_a_store_that_fails_is_a_clear_error(
        self, place: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        study = self.shipped(place, tmp_path / "a")
        books = ledger(study, Books(tmp_path))
        books.propose()

        def fail(*_: object) -> None:
            raise OSError(5, "the connection is gone")

        monkeypatch.setattr(Folder, "write", fail)
        with pytest.raises(SearchError, match=r"cannot be stored in s3://bucket/one: .*the connection is gone"):
            books.commit()
