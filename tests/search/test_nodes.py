"""Nodes as they are: without the user's modules, late, and without a way to the store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray.cluster_utils import Cluster
from rich.console import Console

import rdsearch
from rdsearch.errors import SearchStoppedError
from rdsearch.search.outcome.results import read_results

ROOT = Path(__file__).parents[2]
MODULE = "task_of_my_own"
TASK = """
import numpy as np
from torch import nn

def network():
    return nn.Linear(8, 4)

def data():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 4, 120)
    inputs = (rng.normal(size=(120, 8)) + 2 * np.eye(4, 8)[targets]).astype(np.float32)
    return {"train": (inputs, targets), "validation": (inputs, targets), "test": (inputs, targets)}
"""
SPACE: dict[str, Any] = {
    "task": {"network": f"{MODULE}:network", "dataset": f"{MODULE}:data", "train": {"epochs": 1}},
    "recipe": {
        "pruning": {"rounds": 2, "rate": {"float": [0.1, 0.6]}},
        "retrain": {"epochs": 0},
        "quantization": {"method": "uniform", "step": 0.2},
    },
    "search": {"trials": 2, "seed": 1, "constraints": {}},
}

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def cluster(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head without trials and a node, which can reach the store, and know nothing of the user's working directory."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "no_monitor": True, "include_log_monitor": False},
    )
    try:
        made.add_node(num_cpus=1, num_gpus=1, env_vars={"RDSEARCH_CACHE": str(tmp_path / "cache of the node")})
        made.wait_for_nodes()
        monkeypatch.setenv("RDSEARCH_CACHE", str(tmp_path / "cache of the driver"))
        (tmp_path / f"{MODULE}.py").write_text(TASK)
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        yield made
    finally:
        ray.shutdown()
        made.shutdown()
        sys.modules.pop(MODULE, None)


def test_the_users_module_travels_and_a_node_without_a_way_to_the_store_ends_the_search_with_its_reason(
    cluster: Cluster, s3: str, tmp_path: Path
) -> None:
    console = Console(quiet=True)
    rdsearch.search(SPACE, out=tmp_path / "search", address=cluster.address, console=console)
    results = read_results(tmp_path / "search")
    assert not results.failed
    assert len(results.points) == 4
    # Ray counts a GPU there, and this machine may have none: there the dense network was trained, not here.
    if not torch.cuda.is_available():
        assert list(tmp_path.glob("cache of the node/**/*.safetensors"))
        assert not list(tmp_path.glob("cache of the driver/**/*.safetensors"))
    assert (tmp_path / "search/dense.safetensors").exists()
    assert sorted(path.name for path in (tmp_path / "search/trials").iterdir()) == ["00000", "00001"]

    ray.shutdown()
    cluster.add_node(num_cpus=1, env_vars={"AWS_PROFILE": "of-nobody"})
    cluster.wait_for_nodes()
    with pytest.raises(
        SearchStoppedError, match=r"the node at \S+ cannot read s3://\S+ \(.*of-nobody.*credentials"
    ) as said:
        rdsearch.search(SPACE, out=s3, address=cluster.address, console=console)
    assert f"rdsearch resume {s3}" in str(said.value)
