"""A study as optuna-dashboard shows it, asked by the interface that its own pages use."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from rdsearch.search.store.studies import JournalStudy
from rdsearch.search.study.ledger import Ledger
from tests.search.books import Books, make_space


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def dashboard(tmp_path: Path) -> Iterator[str]:
    """The dashboard of a search of two trials, one of which has two points on the front."""
    wsgi = pytest.importorskip("optuna_dashboard").wsgi
    books = Books(tmp_path)
    ledger = Ledger(JournalStudy(books.journal, "digits"), books.store, make_space(), books.config, 2)
    for number in (0, 1):
        assert ledger.propose() is not None
        books.complete(number, rounds=2, accuracy=0.9 - 0.1 * number, sparsity=0.875)
        ledger.settle(number)
    ledger.show_front([books.store.points(1)[1], *reversed(books.store.points(0))])
    ledger.commit()
    application = wsgi(JournalStorage(JournalFileBackend(str(books.journal))))
    with make_server("127.0.0.1", 0, application, WSGIServer, Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api/studies"
        server.shutdown()
        thread.join()


def get(url: str) -> Any:
    with urlopen(url, timeout=60) as answer:  # noqa: S310 - of this machine
        return json.load(answer)


@pytest.mark.filterwarnings("default::DeprecationWarning")
def test_it_shows_the_searchs_name_its_objectives_and_of_each_trial_file_and_sparsity(dashboard: str) -> None:
    (summary,) = get(dashboard)["study_summaries"]
    assert summary["study_name"] == "digits"
    study = get(f"{dashboard}/{summary['study_id']}")
    assert study["objective_names"] == ["size_bytes", "val_accuracy"]
    assert study["directions"] == ["minimize", "maximize"]
    told = {item["key"]: json.loads(item["value"]) for item in study["user_attrs"]}
    assert told["front"] == [
        "1,001 bytes, val 0.8000, trials/00001/round_002/network.rdz",
        "1,000 bytes, val 0.9000, trials/00000/round_002/network.rdz",
        "2,000 bytes, val 0.9000, trials/00000/round_001/network.rdz",
    ]
    first = {item["key"]: item["value"] for item in study["trials"][0]["user_attrs"]}
    assert first["file"] == "trials/00000/round_002/network.rdz"
    assert float(first["sparsity"]) == 0.875


def test_a_journal_keeps_the_name_of_its_study_when_the_search_has_got_another(tmp_path: Path) -> None:
    books = Books(tmp_path)
    for name in ("digits", "numbers"):
        place = JournalStudy(books.journal, name)
        Ledger(place, books.store, make_space(), books.config, 2).commit()
        assert place.name == "digits"
