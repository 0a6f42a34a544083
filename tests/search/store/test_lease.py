from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rdsearch.errors import SearchError
from rdsearch.search.store import lease
from rdsearch.search.store.lease import LEASE, Lease
from rdsearch.search.store.places import Folder


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(lease, "_SETTLE_SECONDS", 0.05)


@pytest.fixture
def place(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def owner(place: Folder, **changes: object) -> None:
    """A lease that somebody else has written."""
    content = {"owner": "process 7 on node-b", "host": "node-b", "process": 7, "token": "other", "beat": 1}
    place.write(LEASE, json.dumps(content | changes).encode())


def test_a_lease_is_let_go_at_the_end(place: Folder) -> None:
    with Lease(place, "there").held():
        assert place.exists(LEASE)
    assert not place.exists(LEASE)


def test_a_lease_that_beats_keeps_a_second_driver_away(place: Folder) -> None:
    with (
        Lease(place, "s3://bucket/one").held(),
        pytest.raises(SearchError, match=rf"s3://bucket/one is in use by process {os.getpid()} on "),
        Lease(place, "s3://bucket/one").held(),
    ):
        pass
    assert not place.exists(LEASE)


def test_a_lease_of_a_machine_that_is_gone_lapses(place: Folder) -> None:
    owner(place)
    started = time.monotonic()
    with Lease(place, "there").held():
        assert time.monotonic() - started >= lease.PATIENCE * lease.BEAT_SECONDS
        assert json.loads(place.read(LEASE))["process"] == os.getpid()


def test_a_lease_of_a_dead_process_of_this_machine_lapses_at_once(
    place: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 100.0)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    owner(place, host=os.uname().nodename, process=dead.pid)
    with Lease(place, "there").held():
        pass


def test_a_driver_that_was_taken_over_is_told_so_and_leaves_the_lease_alone(place: Folder) -> None:
    mine = Lease(place, "there")
    with mine.held():
        mine.check()
        owner(place)
        deadline = time.monotonic() + 10
        while not mine._lost and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(SearchError, match="there was taken over by process 7 on node-b"):
            mine.check()
    assert json.loads(place.read(LEASE))["owner"] == "process 7 on node-b"


def test_of_two_that_begin_together_one_drives(place: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    late = Lease(place, "there")
    monkeypatch.setattr(lease, "_SETTLE_SECONDS", 0.0)
    monkeypatch.setattr("rdsearch.search.store.lease.time.sleep", lambda _: owner(place))
    with pytest.raises(SearchError, match="in use by process 7 on node-b"), late.held():
        pass
