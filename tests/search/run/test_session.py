"""The Ray of a search: its session folders, and what goes wrong on the way to it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
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


def test_a_local_ray_has_a_token_of_its_own_a_private_folder_no_door_to_the_network_and_no_needless_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ray

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with session.ray_session(None):
        assert os.environ["RAY_AUTH_MODE"] == "token"
        token = os.environ["RAY_AUTH_TOKEN"]
        assert len(token) == 64
        (folder,) = Path("/tmp").glob(f"rdsearch-ray-{os.getpid()}-*")  # noqa: S108
        assert folder.stat().st_mode & 0o077 == 0
        assert ray.get(ray.remote(lambda: 7).remote()) == 7
        address = ray.get_runtime_context().gcs_address
        listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
        mine = [line.split()[3] for line in listening.splitlines() if any(f"pid={pid}," in line for pid in family())]
        assert any(place.endswith(address.rpartition(":")[2]) for place in mine)
        assert not [place for place in mine if not place.startswith(("127.0.0.1:", "[::1]:", "[::ffff:127.0.0.1]:"))]
        commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in family()]
        assert any("raylet" in command for command in commands)
        assert not [command for command in commands if "dashboard.py" in command or "/monitor.py" in command]
        stranger = subprocess.Popen(
            [sys.executable, "-c", f"import ray; ray.init({address!r}, log_to_driver=False); print('in', flush=True)"],
            env={**os.environ, "RAY_AUTH_TOKEN": "0" * 64},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(8)  # it is refused, or tries on and on
        stranger.kill()
        assert b"in" not in stranger.communicate()[0].splitlines()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert "RAY_AUTH_TOKEN" not in os.environ


def family() -> list[int]:
    """The processes that this one has started, and theirs."""
    found = [os.getpid()]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found[1:]


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
