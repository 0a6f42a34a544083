"""The Ray of a search: its session folders, and what goes wrong on the way to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from rdsearch.errors import SearchError
from rdsearch.search.run import session


def test_session_folders_of_dead_processes_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_TEMPORARY", tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    stale, own, foreign = (
        tmp_path / name for name in (f"rdsearch-ray-{dead.pid}-a", f"rdsearch-ray-{os.getpid()}-b", "rdsearch-ray-x-c")
    )
    for folder in (stale, own, foreign):
        folder.mkdir()
    made = session._session_folder()
    assert not stale.exists()
    assert own.exists()
    assert foreign.exists()
    assert made.name.startswith(f"rdsearch-ray-{os.getpid()}-")


def test_address_without_a_cluster_is_a_clear_error() -> None:
    with pytest.raises(SearchError, match="no Ray cluster answers"), session.ray_session("127.0.0.1:1"):
        pass


@pytest.mark.parametrize("address", [None, "auto", "127.0.0.1:7001"])
def test_a_process_that_is_connected_stays_so(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address="127.0.0.1:7001"))
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("a second Ray"))
    monkeypatch.setattr(ray, "shutdown", lambda: pytest.fail("not ours to shut down"))
    with session.ray_session(address):
        pass
    for other in ("127.0.0.1:7002", "nonsense"):
        with pytest.raises(SearchError, match=r"connected to Ray at 127\.0\.0\.1:7001"), session.ray_session(other):
            pass


def test_ray_that_does_not_start_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def timed_out(**_: object) -> None:
        raise RuntimeError("Timed out waiting for the GCS")

    monkeypatch.setattr(ray, "init", timed_out)
    with pytest.raises(SearchError, match=r"could not be started.*Timed out"), session.ray_session(None):
        pass
