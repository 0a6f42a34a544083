"""Base weights and data go to each node once, and all workers of a node look at that copy."""

from __future__ import annotations

import gc
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from ray._private.state import state
from ray.cluster_utils import Cluster
from ray.core.generated.gcs_pb2 import ActorTableData
from rich.console import Console
from torch import nn

import rdsearch
from rdsearch.search.run.trainable import TrialContext
from rdsearch.tasks.task import Task
from tests.search.paced import paced_space

ROOT = Path(__file__).parents[2]
NODES, WORKERS_A_NODE = 2, 2
WORKERS = NODES * WORKERS_A_NODE
WAIT_SECONDS = 120


def mapped(array: np.ndarray) -> tuple[str, str, int]:
    """Device and inode of the file that an array's memory is a part of (inode 0 if it is of none), and where in it."""
    address = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _, offset, device, inode = line.split()[:5]
        start, end = (int(bound, 16) for bound in span.split("-"))
        if start <= address < end:
            return device, inode, int(offset, 16) + address - start
    raise AssertionError("memory that is nowhere")


def contexts() -> list[TrialContext]:
    """All that this process holds."""
    return [thing for thing in gc.get_objects() if type(thing) is TrialContext]


@dataclass(frozen=True)
class Telling:
    """A score that writes down where its worker has the task's arrays, and waits until every worker has done so.

    Attributes:
        folder: Where it writes.
        driver: The process that only rehearses.
    """

    folder: Path
    driver: int = field(default_factory=os.getpid)

    def __call__(self, network: nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> float:
        if os.getpid() != self.driver:
            task: Any = contexts()[0].task
            arrays = {**task.dense_state(), "inputs": task.train._arrays.inputs}
            places = {name: mapped(array) for name, array in arrays.items()}
            seen = {"node": ray.get_runtime_context().get_node_id(), "places": places}
            (self.folder / f"{os.getpid()}.json").write_text(json.dumps(seen))
            deadline = time.monotonic() + WAIT_SECONDS
            while len(list(self.folder.iterdir())) < WORKERS and time.monotonic() < deadline:
                time.sleep(0.05)
        return 0.9


def test_workers_of_a_node_share_one_copy_of_weights_and_data_and_are_called_after_the_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder = tmp_path / "workers"
    folder.mkdir()
    rng = np.random.default_rng(0)
    # More than what Ray sends beside its objects instead of through the object store.
    train = rng.normal(size=(2000, 64)).astype(np.float32), rng.integers(0, 4, 2000)
    task = Task(network=nn.Linear(64, 4), train=train, validation=100, evaluate=Telling(folder), name="told")
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "no_monitor": True, "include_log_monitor": False},
    )
    try:
        for _ in range(NODES):
            cluster.add_node(num_cpus=WORKERS_A_NODE)
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        rdsearch.search(paced_space(WORKERS, WORKERS), task=task, out=tmp_path / "search", console=Console(quiet=True))
        called = {
            ActorTableData.FromString(row).repr_name
            for row in state._connect_and_get_accessor().get_actor_table(None, None)
        }
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert called == {"trials of told"}, "in Ray's dashboard"
    gc.collect()
    assert contexts() == [], "the driver lets go of what it has sent"
    by_node: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for file in folder.iterdir():
        seen = json.loads(file.read_text())
        by_node[seen["node"]].append(seen["places"])
    assert [len(workers) for workers in by_node.values()] == [WORKERS_A_NODE] * NODES
    for workers in by_node.values():
        assert all(places == workers[0] for places in workers)
        assert all(inode != "0" for _, inode, _ in workers[0].values())
    one, other = ({tuple(place[:2]) for place in workers[0].values()} for workers in by_node.values())
    assert one.isdisjoint(other), "each node has a copy of its own"
