"""Nodes come and go in the middle of a search; trials go on elsewhere from their last round."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster
from rich.console import Console

import rdsearch
from rdsearch.errors import SearchStoppedError
from rdsearch.search.outcome.results import read_results
from rdsearch.search.run import cluster as followed
from tests.search.paced import (
    HURRY,
    REHEARSED,
    ROUNDS,
    evaluations,
    nodes,
    paced_space,
    paced_task,
    working_folders,
)

ROOT = Path(__file__).parents[2]
TRIALS = 30

pytestmark = pytest.mark.timeout(2400)


def wait_for_nodes(count: int) -> None:
    """Ray takes a while to believe that a node is dead, longer than a search may need for its last trials."""
    deadline = time.monotonic() + 120
    while len([node for node in ray.nodes() if node["Alive"]]) != count:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 400
    while not done() and time.monotonic() < deadline:
        time.sleep(0.02)


class Nodes:
    """A head without trials, a node that is there from the beginning, and those that join it as elsewhere."""

    def __init__(self, folder: Path) -> None:
        few = {"include_dashboard": False, "no_monitor": True, "include_log_monitor": False}
        self.made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **few})
        self.address = self.made.address
        self.first = self.made.add_node(num_cpus=1, include_log_monitor=False)
        self.made.wait_for_nodes()
        self._log = folder / "log"
        self._late: list[subprocess.Popen[bytes]] = []
        ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")

    def join(self) -> None:
        ray_of_the_environment = str(Path(sys.executable).with_name("ray"))
        command = [ray_of_the_environment, "start", f"--address={self.address}", "--num-cpus=1", "--block"]
        with self._log.open("ab") as log:
            self._late.append(subprocess.Popen(command, stdout=log, stderr=log))

    def kill_first(self) -> None:
        self.made.remove_node(self.first, allow_graceful=False)

    def end_late(self) -> None:
        for process in self._late:
            process.terminate()
            process.wait()

    def close(self) -> None:
        ray.shutdown()
        self.end_late()
        self.made.shutdown()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    nodes = Nodes(tmp_path)
    try:
        yield nodes
    finally:
        nodes.close()


def test_a_node_that_joins_in_the_middle_gets_work_and_one_that_goes_costs_its_running_round(
    cluster: Nodes, tmp_path: Path
) -> None:
    stored: list[int] = []
    known = {node["NodeID"] for node in ray.nodes()}

    def let_a_node_join_and_another_one_go() -> None:
        wait_until(lambda: len(list(tmp_path.glob("search/trials/*/round_*"))) >= 2)
        cluster.join()
        # Its worker is kept, and does more than one trial.
        wait_until(lambda: len([node for node in nodes(tmp_path) if node not in known]) > ROUNDS)
        stored.append(len(list(tmp_path.glob("search/trials/*/round_*"))))
        cluster.kill_first()
        (tmp_path / HURRY).touch()

    other = threading.Thread(target=let_a_node_join_and_another_one_go)
    other.start()
    space = paced_space(TRIALS)
    del space["resources"]["concurrent"]
    rdsearch.search(
        space,
        task=paced_task(1.5, tmp_path),
        out=tmp_path / "search",
        address=cluster.address,
        console=Console(quiet=True),
    )
    other.join()
    assert stored[0] < TRIALS * ROUNDS
    wait_for_nodes(2)  # the head, and the one that came late
    results = read_results(tmp_path / "search")
    assert not results.failed
    assert [(point.trial, point.round) for point in results.points] == [
        (trial, round_) for trial in range(TRIALS) for round_ in range(1, ROUNDS + 1)
    ]
    assert evaluations(tmp_path) <= REHEARSED + 1 + len(results.points) + 1
    # The nodes were started before the search, and knew nothing of what it sets for its workers.
    assert set(working_folders(tmp_path)) == {Path.cwd()}


def test_a_cluster_whose_nodes_are_all_gone_is_waited_for_and_not_for_ever(
    cluster: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, out, task = io.StringIO(), tmp_path / "search", paced_task(0.2, tmp_path)
    console = Console(file=said, width=200)
    waited: list[float] = []

    def at(rounds: int, what: Callable[[], None]) -> threading.Thread:
        def wait() -> None:
            wait_until(lambda: len(list(out.glob("trials/*/round_*"))) >= rounds)
            what()

        thread = threading.Thread(target=wait)
        thread.start()
        return thread

    def let_one_go_and_another_one_come() -> None:
        cluster.kill_first()
        gone = time.monotonic()
        wait_until(lambda: "has gone" in said.getvalue())
        waited.append(time.monotonic() - gone)
        cluster.join()

    other = at(1, let_one_go_and_another_one_come)
    rdsearch.search(paced_space(2), task=task, out=out, address=cluster.address, console=console)
    other.join()
    assert waited[0] < 60
    line = r"Warning: every node .* has gone \(1 cores and 0 GPUs\): waiting up to 1 h 00 min for one to join\n"
    assert re.search(line, said.getvalue())
    assert "has joined after" in said.getvalue()
    assert [(point.trial, point.round) for point in read_results(out).points] == [
        (trial, round_) for trial in range(2) for round_ in range(1, ROUNDS + 1)
    ]

    monkeypatch.setattr(followed, "_RETURN_SECONDS", 1.0)
    other = at(2 * ROUNDS + 1, cluster.end_late)
    with pytest.raises(SearchStoppedError, match=r"no node .* has held a trial .* have one join") as stopped:
        rdsearch.resume(out, trials=200, task=task, address=cluster.address, console=console)
    other.join()
    assert f"rdsearch resume {out}" in str(stopped.value)
    assert (out / "front.csv").exists()
