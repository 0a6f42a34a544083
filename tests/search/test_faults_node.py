"""Nodes come and go in the middle of a search; trials go on elsewhere from their last round."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster
from rich.console import Console

import rdsearch
from rdsearch.search.outcome.results import read_results
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


def test_a_node_that_joins_in_the_middle_gets_work_and_one_that_goes_costs_its_running_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    late: list[subprocess.Popen[bytes]] = []
    try:
        doomed = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")

        stored: list[int] = []

        known = {node["NodeID"] for node in ray.nodes()}

        def let_a_node_join_and_another_one_go() -> None:
            wait_until(lambda: len(list(tmp_path.glob("search/trials/*/round_*"))) >= 2)
            with (tmp_path / "log").open("wb") as log:
                start = [
                    str(Path(sys.executable).with_name("ray")),
                    "start",
                    f"--address={cluster.address}",
                    "--num-cpus=1",
                    "--block",
                ]
                late.append(subprocess.Popen(start, stdout=log, stderr=log))
            # Its worker is kept, and does more than one trial.
            wait_until(lambda: len([node for node in nodes(tmp_path) if node not in known]) > ROUNDS)
            stored.append(len(list(tmp_path.glob("search/trials/*/round_*"))))
            cluster.remove_node(doomed, allow_graceful=False)
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
    finally:
        ray.shutdown()
        for process in late:
            process.terminate()
            process.wait()
        cluster.shutdown()
    results = read_results(tmp_path / "search")
    assert not results.failed
    assert [(point.trial, point.round) for point in results.points] == [
        (trial, round_) for trial in range(TRIALS) for round_ in range(1, ROUNDS + 1)
    ]
    assert evaluations(tmp_path) <= REHEARSED + 1 + len(results.points) + 1
    # The nodes were started before the search, and knew nothing of what it sets for its workers.
    assert set(working_folders(tmp_path)) == {Path.cwd()}
