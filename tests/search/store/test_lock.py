"""The lock of a folder: real processes, and file systems that have no locks."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rdsearch.errors import SearchError
from rdsearch.search.store import lease
from rdsearch.search.store.lock import FolderLock


def test_a_second_holder_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    code = (
        "import sys; from pathlib import Path; from rdsearch.search.store.lock import FolderLock\n"
        "with FolderLock(Path(sys.argv[1])).held(): print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with (
        pytest.raises(SearchError, match=rf"is in use by process {process.pid} on .*: wait for it to end"),
        FolderLock(lock).held(),
    ):
        pass
    process.kill()
    process.communicate()
    with FolderLock(lock).held():  # the lock went with the process
        assert "process" in lock.read_text()


def test_the_lock_is_free_after_the_block_even_if_that_failed(tmp_path: Path) -> None:
    def fail() -> None:
        with FolderLock(tmp_path / ".lock").held():
            raise KeyError("inside")

    with pytest.raises(KeyError):
        fail()
    with FolderLock(tmp_path / ".lock").held():
        pass


def test_a_lock_whose_file_was_replaced_is_not_believed(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path / ".lock"), FolderLock(tmp_path / ".lock")
    with first.held():
        first.check()
        (tmp_path / ".lock").unlink()
        with pytest.raises(SearchError, match="was removed or replaced"):
            first.check()
        with second.held():
            second.check()
            with pytest.raises(SearchError, match="another driver may be at work"):
                first.check()


def test_a_lock_that_is_a_symbolic_link_is_refused_and_nothing_is_written_elsewhere(tmp_path: Path) -> None:
    mine = tmp_path / "precious.txt"
    mine.write_text("precious")
    (tmp_path / ".lock").symlink_to(mine)
    with pytest.raises(SearchError, match="symbolic link"), FolderLock(tmp_path / ".lock").held():
        pass
    assert mine.read_text() == "precious"


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_flock_a_driver_says_that_it_lives_and_a_second_one_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(lease, "_SETTLE_SECONDS", 0.02)
    first = FolderLock(tmp_path / ".lock")
    with first.held():
        first.check()
        time.sleep(0.25)
        with (
            pytest.raises(SearchError, match=f"is in use by process {os.getpid()}"),
            FolderLock(tmp_path / ".lock").held(),
        ):
            pass
        first.check()
    with FolderLock(tmp_path / ".lock").held():  # let go
        pass
