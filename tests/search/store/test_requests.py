"""What a search in an object store costs in requests, each of which is a way there and back."""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rdsearch.config.searchfile import SearchConfig
from rdsearch.errors import SearchError
from rdsearch.search.store import news
from rdsearch.search.store.mirror import TRIALS, Mirror
from rdsearch.search.store.objectstore import ObjectStore, _connected, object_store
from rdsearch.search.store.rounds import Outcome, RoundStore
from rdsearch.search.store.studies import ShippedJournal
from rdsearch.search.study.ledger import Ledger
from tests.search.books import make_checkpoint, make_point, make_space

ROUNDS = 3


@contextmanager
def counted(place: ObjectStore) -> Iterator[Counter[str]]:
    """The requests that go to a store, by kind; the client's own hooks count them."""
    requests: Counter[str] = Counter()

    def count(model: object, **_: object) -> None:
        requests[model.name] += 1  # type: ignore[attr-defined]

    events = place._client.meta.events
    events.register("before-call.s3", count)
    try:
        yield requests
    finally:
        events.unregister("before-call.s3", count)


def work(store: RoundStore, number: int) -> Iterator[tuple[int, str]]:
    """A worker on a trial: each round, and what is told of it."""
    store.begin(number)
    for round_ in range(1, ROUNDS + 1):
        last = round_ == ROUNDS
        store.publish(number, make_point(round_, trial=number), None if last else make_checkpoint(round_))
        if last:
            store.finish(number, Outcome("complete"))
        yield round_, store.news(number, round_)


@pytest.fixture
def driver(s3: str, tmp_path: Path) -> tuple[ObjectStore, Ledger]:
    place = object_store(s3)
    study = ShippedJournal(tmp_path / "study.journal", place, place.address)
    return place, Ledger(study, RoundStore(place.below(TRIALS)), make_space(), SearchConfig(seed=1), 100)


def run_trial(place: ObjectStore, ledger: Ledger, workers: Counter[str], drivers: Counter[str]) -> None:
    with counted(place) as requests:
        proposal = ledger.propose()
        assert proposal is not None
        ledger.commit()
        ledger.started(proposal.number)
        drivers += requests
    rounds = work(RoundStore(place.below(TRIALS)), proposal.number)
    while True:
        with counted(place) as requests:
            told = next(rounds, None)
        workers += requests
        if told is None:
            break
        with counted(place) as requests:
            assert ledger.report(proposal.number, *told)
            assert ledger.store.point(proposal.number, told[0]).round == told[0]
        drivers += requests
    with counted(place) as requests:
        ledger.settle(proposal.number)
        ledger.commit()
    drivers += requests


def test_a_round_takes_four_requests_and_a_trial_two_of_the_drivers(driver: tuple[ObjectStore, Ledger]) -> None:
    workers: Counter[str] = Counter()
    drivers: Counter[str] = Counter()
    trials = 4
    for _ in range(trials):
        run_trial(*driver, workers, drivers)
    assert driver[1].complete == trials
    assert workers.total() <= 4 * ROUNDS * trials, workers
    assert drivers.total() <= 2 * trials, drivers
    assert RoundStore(driver[0].below(TRIALS)).count(0) == ROUNDS


def test_figures_of_trials_that_have_ended_are_fetched_together(
    driver: tuple[ObjectStore, Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "_TRIALS_TOGETHER", 4)
    place, ledger = driver
    for _ in range(9):
        run_trial(place, ledger, Counter(), Counter())
    place.write("config.yaml", b"id: abc")
    copy = Mirror(place)
    copy.clear()
    with counted(place) as requests:
        copy.pull()
    # The settings, two bundles of four trials; the rounds of the ninth and its outcome one by one.
    assert requests["GetObject"] == 1 + 2 + ROUNDS + 1
    stored = RoundStore(place.below(TRIALS)).all_points()
    assert [point.size_bytes for point in RoundStore(copy.path / TRIALS).all_points()] == [
        point.size_bytes for point in stored
    ]
    assert len(stored) == 9 * ROUNDS
    with counted(place) as requests:
        copy.pull()
    assert requests["GetObject"] == 1


def test_a_damaged_bundle_costs_requests_and_nothing_else(
    driver: tuple[ObjectStore, Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "_TRIALS_TOGETHER", 1)
    place, ledger = driver
    run_trial(place, ledger, Counter(), Counter())
    (name,) = (name for name in place.tree(TRIALS) if f"/{news.FIGURES}/" in name)
    assert len(json.loads(gzip.decompress(place.read(name)))) == ROUNDS + 1
    for damage in (b"", gzip.compress(b"[1]"), place.read(name)[:-9], gzip.compress(b"{")):
        place.write(name, damage)
        copy = Mirror(place)
        copy.clear()
        copy.pull()
        assert len(RoundStore(copy.path / TRIALS).all_points()) == ROUNDS


def test_the_driver_reads_its_own_search_from_memory_and_from_its_copy(s3: str, tmp_path: Path) -> None:
    place, copy = object_store(s3), tmp_path / "copy"
    study = ShippedJournal(tmp_path / "study.journal", place, place.address)
    store = RoundStore(place.below(TRIALS), copy)
    ledger = Ledger(study, store, make_space(), SearchConfig(seed=1, sampler="curve"), 100)
    run_trial(place, ledger, Counter(), Counter())
    running = ledger.propose()
    assert running is not None
    told = next(work(RoundStore(place.below(TRIALS)), running.number))
    assert ledger.report(running.number, *told)
    with counted(place) as requests:
        assert [point.round for point in store.points(0)] == list(range(1, ROUNDS + 1))
        assert [point.round for point in store.heard(running.number)] == [1]
        assert ledger.propose() is not None
    assert not requests, "the sampler looks at every trial's rounds"
    stored = RoundStore(place.below(TRIALS)).points(0)
    assert [point.sha256 for point in store.points(0)] == [point.sha256 for point in stored]


def test_missing_client_names_the_extra(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    _connected.cache_clear()
    with pytest.raises(SearchError, match=r"pip install 'rdsearch\[s3\]'"):
        object_store(s3).read("config.yaml")
