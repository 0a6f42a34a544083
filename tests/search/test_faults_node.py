"""A node goes, and its trials go on elsewhere from their last round."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster
from rich.console import Console

import rdsearch
from rdsearch.search.outcome.results import read_results
from tests.search.paced import REHEARSED, ROUNDS, evaluations, paced_space, paced_task, working_folders

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(2400)


def wait_for_nodes(count: int) -> None:
    """Ray takes a while to believe that a node is dead, longer than a search may need for its last trials."""
    deadline = time.monotonic() + 120
    while len([node for node in ray.nodes() if node["Alive"]]) != count:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_node_that_goes_costs_its_running_round_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        doomed = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")

        stored: list[int] = []

        def kill_the_second_node() -> None:
            deadline = time.monotonic() + 400
            # Both nodes have a trial that has stored something, and neither has many left.
            while len(list(tmp_path.glob("search/trials/0000[01]/round_001"))) < 2 and time.monotonic() < deadline:
                time.sleep(0.02)
            stored.append(len(list(tmp_path.glob("search/trials/*/round_*"))))
            cluster.remove_node(doomed, allow_graceful=False)

        killer = threading.Thread(target=kill_the_second_node)
        killer.start()
        rdsearch.search(
            paced_space(4), task=paced_task(0.5, tmp_path), out=tmp_path / "search", console=Console(quiet=True)
        )
        killer.join()
        assert 2 <= stored[0] < 4 * ROUNDS
        wait_for_nodes(2)  # the head, and one that works
    finally:
        ray.shutdown()
        cluster.shutdown()
    results = read_results(tmp_path / "search")
    assert not results.failed
    assert [(point.trial, point.round) for point in results.points] == [
        (trial, round_) for trial in range(4) for round_ in range(1, ROUNDS + 1)
    ]
    assert evaluations(tmp_path) <= REHEARSED + 1 + len(results.points) + 1
    # The nodes were started before the search, and knew nothing of what it sets for its workers.
    assert set(working_folders(tmp_path)) == {Path.cwd()}
