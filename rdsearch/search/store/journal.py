"""The study's storage: a journal file with one writer, mended after a crash."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from optuna.storages.journal import JournalFileBackend

_CHUNK = 1 << 16


def mend(journal: Path) -> None:
    """Make a journal fit to go on with after its writer was killed.

    A last line that was not written to its end would merge with the next one, so the file is cut back to
    its last whole line that is not blank; a lock that the writer left behind would hold up the next one for half
    a minute. Call it only while holding the folder's lock.
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
        while _ends_in_a_blank_line(file, whole):
            whole -= 1
        if whole < size:
            file.truncate(whole)


def _ends_in_a_blank_line(file: BinaryIO, whole: int) -> bool:
    file.seek(max(0, whole - 2))
    return file.read(min(whole, 2)) in (b"\n\n", b"\n")


class BatchedJournal(JournalFileBackend):
    """A journal file that is flushed to disk once a batch of lines.

    Optuna writes a line for every parameter of a trial, and would wait for the disk after each of them: a
    dozen times a trial, in the thread that all workers wait for. What a batch wrote is on disk when it ends.
    Outside of a batch every line is flushed by itself.

    Args:
        journal: The file; made when it is not there. Its one writer holds the folder's lock.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal = journal
        self._depth = 0

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines.

        Raises:
            OSError: The disk is full. Nothing of the lines is left in the file.
        """
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self._journal.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                if file.write(lines.encode()) < len(lines.encode()):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._journal))
                if not self._depth:
                    os.fsync(file.fileno())
            except OSError:
                file.truncate(before)
                raise

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Flush what is written inside in one go at the end."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                with self._journal.open("rb") as file:
                    os.fsync(file.fileno())
