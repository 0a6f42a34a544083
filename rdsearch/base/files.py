"""Writing files so that a reader, or a crash, never meets half of one."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, data: str | bytes, *, flush: bool = True) -> None:
    """Write ``data`` (text as UTF-8) to ``path`` whole, or leave what was there.

    The bytes go to a temporary file in the same folder, reach the disk, and are renamed onto ``path``. A device or a
    pipe, ``/dev/null`` say, is written to and not replaced.

    Args:
        path: The file.
        data: What it is to hold.
        flush: Whether to wait for the disk. Without that, a loss of power may leave an empty file.

    Raises:
        OSError: The folder is missing or not writable, or the disk is full; no temporary file is left behind.
    """
    content = data.encode() if isinstance(data, str) else data
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    # Processes on several machines may write the same file in a shared folder, so a process id is not enough.
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
