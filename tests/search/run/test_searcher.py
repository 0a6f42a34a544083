"""Between Tune and the ledger: what Tune is told, and what it makes the ledger do."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from rdsearch.search.run import cluster
from rdsearch.search.run.cluster import Room, Slots
from rdsearch.search.run.searcher import Bookkeeping, LedgerScheduler, LedgerSearcher, ahead
from rdsearch.search.run.trainable import NEWS, ROUND, STORAGE_ERROR
from rdsearch.search.run.watch import RayWatch
from rdsearch.search.study.ledger import Proposal


class Books:
    """A ledger that proposes for ever and writes down what it is told."""

    def __init__(self) -> None:
        self.proposed = 0
        self.reported: list[tuple[int, int]] = []
        self.settled: list[tuple[int, bool]] = []
        self.started_: list[int] = []

    def propose(self) -> Proposal | None:
        self.proposed += 1
        return Proposal(self.proposed, {"pruning.rate": 0.2})

    def started(self, number: int) -> None:
        self.started_.append(number)

    def settle(self, number: int, *, crashed: bool = False, reason: str = "") -> bool:
        self.settled.append((number, crashed))
        return True

    def commit(self) -> None:
        pass

    def report(self, number: int, round_: int, news: str) -> bool:
        self.reported.append((number, round_))
        return round_ < 2


def room(concurrent: int) -> Room:
    return Room(Slots(cpu=1, gpu=0, concurrent=concurrent))


def running(searcher: LedgerSearcher, name: str) -> SimpleNamespace:
    """What Tune's callbacks are given of a trial."""
    return SimpleNamespace(trial_id=name, config=searcher.suggest(name))


def test_trial_is_settled_once_under_its_own_number() -> None:
    books = Books()
    searcher = LedgerSearcher(books, room(2))  # type: ignore[arg-type]
    assert searcher.suggest("a") == {"number": 1, "parameters": {"pruning.rate": 0.2}}
    searcher.suggest("b")
    searcher.on_trial_complete("b", {"number": 2})
    searcher.on_trial_complete("b", {"number": 2})
    searcher.on_trial_complete("a", error=True)
    searcher.settle()
    assert books.settled == [(2, False), (1, True)]


def test_full_disk_stops_the_proposals_and_blames_no_trial() -> None:
    books = Books()
    searcher = LedgerSearcher(books, room(1))  # type: ignore[arg-type]
    searcher.suggest("a")
    searcher.on_trial_complete("a", {"number": 1, STORAGE_ERROR: "No space left on device"})
    assert searcher.suggest("b") == Searcher.FINISHED
    assert searcher.storage_error == "No space left on device"
    assert books.settled == [(1, False)]


def test_scheduler_asks_the_ledger_after_every_round_whether_a_trial_goes_on() -> None:
    books = Books()
    scheduler = LedgerScheduler(books, room(1))  # type: ignore[arg-type]
    answers = [scheduler.on_trial_result(None, None, {"number": 5, ROUND: round_, NEWS: "{}"}) for round_ in (1, 2)]
    assert answers == [FIFOScheduler.CONTINUE, FIFOScheduler.STOP]
    assert scheduler.on_trial_result(None, None, {"number": 5, STORAGE_ERROR: "full"}) == FIFOScheduler.CONTINUE
    assert books.reported == [(5, 1), (5, 2)]


def test_without_looking_ahead_a_proposal_knows_every_trial_that_has_ended() -> None:
    books = Books()
    searcher = LedgerSearcher(books, room(1))  # type: ignore[arg-type]
    searcher.suggest("a")
    searcher.on_trial_complete("a", {})
    searcher.suggest("b")
    assert books.settled == [(1, False)]


def test_work_is_put_off_until_all_workers_are_busy() -> None:
    books = Books()
    searcher = LedgerSearcher(books, room(2))  # type: ignore[arg-type]
    keeping = Bookkeeping(books, searcher, room(2), RayWatch(print))  # type: ignore[arg-type]
    one, two = running(searcher, "a"), running(searcher, "b")
    keeping.on_trial_start(0, [], one)
    keeping.on_step_end(0, [])
    assert (books.proposed, books.started_) == (2, [])
    keeping.on_trial_start(0, [], two)
    keeping.on_step_end(0, [])
    assert (books.proposed, sorted(books.started_)) == (3, [1, 2])
    searcher.on_trial_complete("a", {})
    keeping.on_trial_complete(0, [], one)
    keeping.on_step_end(0, [])
    assert books.settled == []
    three = running(searcher, "c")
    assert (three.config["number"], books.proposed) == (3, 3)
    keeping.on_trial_start(0, [], three)
    keeping.on_step_end(0, [])
    assert (books.settled, books.proposed) == ([(1, False)], 4)


class Limited(Books):
    """A ledger with few recipes, that counts how often it is made safe."""

    commits = 0

    def propose(self) -> Proposal | None:
        return super().propose() if self.proposed < 40 else None

    def commit(self) -> None:
        self.commits += 1


def test_for_hundreds_of_workers_recipes_are_made_safe_together_and_each_is_handed_out() -> None:
    books = Limited()
    searcher = LedgerSearcher(books, room(512))  # type: ignore[arg-type]
    numbers = [searcher.suggest(str(count))["number"] for count in range(40)]
    assert numbers == list(range(1, 41))
    assert books.commits == 3, "16, 16 and 8 recipes"
    assert searcher.suggest("none") == Searcher.FINISHED


def test_for_hundreds_of_workers_trials_are_settled_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rdsearch.search.run.searcher._COMMIT_SECONDS", 3600.0)
    books = Limited()
    searcher = LedgerSearcher(books, room(512))  # type: ignore[arg-type]
    for count in range(16):
        searcher.suggest(str(count))
    searcher.catch_up()
    for count in range(15):
        searcher.on_trial_complete(str(count), {})
        searcher.suggest(f"next {count}")
        searcher.catch_up()
    assert (books.settled, books.commits) == ([], 2)
    searcher.suggest("last")
    searcher.catch_up()
    assert (len(books.settled), books.commits) == (15, 3)


@pytest.mark.parametrize(("running", "recipes"), [(1, 1), (63, 1), (64, 2), (512, 16), (4000, 16)])
def test_few_workers_get_recipes_one_by_one(running: int, recipes: int) -> None:
    assert ahead(running) == recipes


def test_a_cluster_that_holds_fewer_trials_than_allowed_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    books = Books()
    searcher = LedgerSearcher(books, room(64))  # type: ignore[arg-type]
    keeping = Bookkeeping(books, searcher, room(64), RayWatch(print))  # type: ignore[arg-type]
    keeping.on_trial_start(0, [], running(searcher, "a"))
    keeping.on_step_end(0, [])
    assert books.started_ == []
    monkeypatch.setattr("rdsearch.search.run.searcher._PATIENCE_SECONDS", 0.0)
    keeping.on_step_end(0, [])
    assert books.started_ == [1]


def test_a_disk_that_is_full_for_the_driver_stops_the_proposals() -> None:
    class Full(Books):
        def propose(self) -> Proposal:
            raise OSError(28, "No space left on device", "study.journal")

    searcher = LedgerSearcher(Full(), room(1))  # type: ignore[arg-type]
    assert searcher.suggest("a") == Searcher.FINISHED
    assert searcher.storage_error == "study.journal cannot be written: No space left on device"


def following(monkeypatch: pytest.MonkeyPatch, nodes: list[dict[str, float]]) -> Room:
    """Room on a cluster whose nodes come and go."""
    monkeypatch.setattr(cluster, "_nodes", lambda: nodes)
    monkeypatch.setattr(cluster, "_FOLLOW_SECONDS", 0.0)
    return Room(Slots(cpu=1, gpu=0, concurrent=2, grows=True, limited=False))


def test_trials_follow_the_nodes_as_they_join_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"CPU": 2.0}]
    searcher = LedgerSearcher(Books(), following(monkeypatch, nodes))  # type: ignore[arg-type]

    def handed_out() -> int:
        count = 0
        while searcher.suggest(f"{len(nodes)}-{count}") is not None:
            count += 1
        return count

    assert handed_out() == 2 + 1, "one waits: it is what an autoscaler hears"
    nodes.append({"CPU": 3.0})
    assert handed_out() == 3
    nodes[:] = [{"CPU": 0.0}]
    for trial in ("1-0", "1-1", "1-2", "2-0", "2-1"):
        searcher.on_trial_complete(trial, {})
        assert searcher.suggest("none") is None
    searcher.on_trial_complete("2-2", {})
    assert searcher.suggest("last") is not None, "the search does not end over a cluster that is empty for a while"


def test_a_free_worker_takes_the_oldest_trial_that_no_node_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    states = ("TERMINATED", "RUNNING", "PENDING", "PENDING", "PENDING")
    trials = [SimpleNamespace(status=state, config={"number": number}) for number, state in enumerate(states)]
    nodes = [{"CPU": 2.0}]
    scheduler = LedgerScheduler(Books(), following(monkeypatch, nodes))  # type: ignore[arg-type]

    def chosen(live: list[SimpleNamespace]) -> int | None:
        trial = scheduler.choose_trial_to_run(SimpleNamespace(get_live_trials=lambda: live[::-1]))
        return None if trial is None else trial.config["number"]

    assert chosen(trials[1:]) == 2, "one runs, and the other place is the free worker's"
    nodes.append({"CPU": 1.0})
    assert chosen(trials[1:]) == 3, "a worker starts on the node that has joined, for the oldest"
    nodes.append({"CPU": 8.0})
    assert chosen(trials[1:]) == 4, "all of them have workers under way: the newest loses the least"
    assert chosen(trials[1:2]) is None
