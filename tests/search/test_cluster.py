"""Ray's session folders, and what of a trial fits on a machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from rdsearch.config import ResourceConfig
from rdsearch.errors import SearchError
from rdsearch.search import cluster


def test_session_folders_of_dead_processes_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_TEMPORARY", tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    stale, own, foreign = (
        tmp_path / name for name in (f"rdsearch-ray-{dead.pid}-a", f"rdsearch-ray-{os.getpid()}-b", "rdsearch-ray-x-c")
    )
    for folder in (stale, own, foreign):
        folder.mkdir()
    made = cluster._session_folder()
    assert not stale.exists()
    assert own.exists()
    assert foreign.exists()
    assert made.name.startswith(f"rdsearch-ray-{os.getpid()}-")


@pytest.mark.parametrize(
    ("resources", "total", "concurrent"),
    [
        ({"cpu": 1}, {"CPU": 2.0}, 2),
        ({"cpu": 0.5}, {"CPU": 2.0}, 4),
        ({"cpu": 1, "gpu": 0.25}, {"CPU": 8.0, "GPU": 1.0}, 4),
        ({"cpu": 1, "gpu": 0.25}, {"CPU": 3.0}, 3),
        ({"cpu": 1, "concurrent": 2}, {"CPU": 16.0}, 2),
    ],
)
def test_slots_are_what_fits(
    monkeypatch: pytest.MonkeyPatch, resources: dict[str, float], total: dict[str, float], concurrent: int
) -> None:
    monkeypatch.setattr(cluster, "_nodes", lambda: [total])
    assert cluster.slots(ResourceConfig(**resources)).concurrent == concurrent


def test_trials_are_counted_by_node(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"CPU": 3.0}, {"CPU": 3.0}, {"CPU": 8.0, "GPU": 2.0}]
    monkeypatch.setattr(cluster, "_nodes", lambda: nodes)
    assert cluster.slots(ResourceConfig(cpu=2)).concurrent == 1 + 1 + 4
    assert cluster.slots(ResourceConfig(cpu=1, gpu=0.4)).concurrent == 2 * 2
    assert cluster.slots(ResourceConfig(cpu=0.1, gpu=0.1)).concurrent == 2 * 10
    assert cluster.slots(ResourceConfig(cpu=1, gpu=2)).concurrent == 1


def test_trial_that_fits_on_no_single_node_is_an_error_and_not_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_nodes", lambda: [{"CPU": 2.0}, {"CPU": 2.0}, {"memory": 1e9}])
    message = r"asks for 4 cores and 0 GPUs on one node, .* 0 cores and 0 GPUs, 2 cores and 0 GPUs \(2 nodes\)"
    with pytest.raises(SearchError, match=message):
        cluster.slots(ResourceConfig(cpu=4))


def test_a_node_that_joins_late_is_asked_for_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[dict[str, float]]] = []
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(cluster, "_ask_for_nodes", asked.append)
    monkeypatch.setattr(cluster, "_nodes", lambda: [{}, {"CPU": 4.0}] if asked else [{}])
    assert cluster.slots(ResourceConfig(cpu=2), grows=True).concurrent == 2
    assert asked == [[{"CPU": 2}], []], "the request is withdrawn, or the node would be kept for ever"
    assert cluster.slots(ResourceConfig(cpu=2, concurrent=64), grows=True).concurrent == 64


def test_address_without_a_cluster_is_a_clear_error() -> None:
    with pytest.raises(SearchError, match="no Ray cluster answers"), cluster.ray_session("127.0.0.1:1"):
        pass


@pytest.mark.parametrize("address", [None, "auto", "127.0.0.1:7001"])
def test_a_process_that_is_connected_stays_so(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address="127.0.0.1:7001"))
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("a second Ray"))
    monkeypatch.setattr(ray, "shutdown", lambda: pytest.fail("not ours to shut down"))
    with cluster.ray_session(address):
        pass
    for other in ("127.0.0.1:7002", "nonsense"):
        with pytest.raises(SearchError, match=r"connected to Ray at 127\.0\.0\.1:7001"), cluster.ray_session(other):
            pass


def test_ray_that_does_not_start_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def timed_out(**_: object) -> None:
        raise RuntimeError("Timed out waiting for the GCS")

    monkeypatch.setattr(ray, "init", timed_out)
    with pytest.raises(SearchError, match=r"could not be started.*Timed out"), cluster.ray_session(None):
        pass
