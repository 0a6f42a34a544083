"""Files and folders that people mean, without those that programs leave beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

LEFT_BEHIND = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information")
"""Folders of archives made on a Mac, of network storage and of Windows."""


def is_visible(entry: Path) -> bool:
    """Whether a file or folder is neither hidden (``.ipynb_checkpoints``, ``._0.png``) nor left behind."""
    return not entry.name.startswith(".") and entry.name not in LEFT_BEHIND


def visible_files(folder: Path) -> Iterator[Path]:
    """The files in a folder and the folders inside it, sorted by their paths."""
    for entry in sorted(folder.iterdir()):
        if not is_visible(entry):
            continue
        if entry.is_dir():
            yield from visible_files(entry)
        else:
            yield entry
