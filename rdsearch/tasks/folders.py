"""Where data lies and where what was made once is kept."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from rdsearch.errors import TaskError

DATA_VARIABLE = "RDSEARCH_DATA"
CACHE_VARIABLE = "RDSEARCH_CACHE"


def cache_folder() -> Path:
    """Folder of all that is kept between runs: ``RDSEARCH_CACHE``, else ``~/.cache/rdsearch``.

    Raises:
        TaskError: It is not named, and the user has no home, as in many containers.
    """
    try:
        return Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/rdsearch").expanduser()
    except RuntimeError:
        raise TaskError(
            "this user has no home folder, and so no cache folder: name one that can be written by the variable "
            f"{CACHE_VARIABLE}"
        ) from None


def cache_subfolder(name: str) -> Path:
    """A folder inside :func:`cache_folder`, made if need be.

    Raises:
        TaskError: It cannot be written.
    """
    folder = cache_folder() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise TaskError(
            f"the cache folder {folder} cannot be written ({error.strerror}): name another by the variable "
            f"{CACHE_VARIABLE}"
        ) from None
    return folder


def data_folders(root: Path | None = None) -> list[Path]:
    """Folders in which a data set is looked for, in this order; the first writable one takes downloads.

    Args:
        root: The folder that the task names; the only one looked at when given. Otherwise ``RDSEARCH_DATA``,
            when set, and then ``data`` inside :func:`cache_folder`.
    """
    if root is not None:
        return [root.expanduser()]
    given = os.environ.get(DATA_VARIABLE)
    return [*([Path(given).expanduser()] if given else []), cache_folder() / "data"]
