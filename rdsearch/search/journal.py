"""The study's storage: a journal file with one writer, mended after a crash."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from rdsearch.errors import SearchError

_CHUNK = 1 << 16


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock of a search's folder; it goes with the process, however that ends.

    Raises:
        SearchError: Another process holds it.
    """
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise SearchError(
                f"{path.parent} is in use by {owner}: wait for it to end, or stop it, before going on here"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {os.uname().nodename}")
        file.flush()
        yield


def mend(journal: Path) -> None:
    """Make a journal fit to go on with after its writer was killed.

    A last line that was not written to its end would merge with the next one, so the file is cut back to
    its last whole line; a lock that the writer left behind would hold up the next one for half a minute.
    Call it only while holding the folder's lock.
    """
    (journal.parent / f"{journal.name}.lock").unlink(missing_ok=True)
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        size = whole = file.seek(0, os.SEEK_END)
        while whole:
            start = max(0, whole - _CHUNK)
            file.seek(start)
            newline = file.read(whole - start).rfind(b"\n")
            if newline >= 0:
                whole = start + newline + 1
                break
            whole = start
        if whole < size:
            file.truncate(whole)
