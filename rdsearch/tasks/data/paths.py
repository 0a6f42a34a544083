"""A user's own files, by what they look like."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rdsearch.errors import TaskError
from rdsearch.tasks.calls import call_with_options, taken_by
from rdsearch.tasks.data.image_folder import image_folder
from rdsearch.tasks.data.npz import holds_images, npz
from rdsearch.tasks.data.parquet import parquet
from rdsearch.tasks.data.source import DataSource
from rdsearch.tasks.folders import data_folders


def open_path(
    name: str, root: Path | None, options: dict[str, Any], usual: Mapping[str, Any] | None = None
) -> DataSource:
    """Read a parquet file or folder, an image folder, or an ``.npz`` file.

    Args:
        name: The path; a relative one is looked for here first, then in the folders of the data.
        root: Folder of the data, where one is named.
        options: Arguments of the reader.
        usual: Arguments that go before these where the reader takes them and the data is images.

    Raises:
        TaskError: Nothing is there, or nothing that can be read.
    """
    path, usual = _find(Path(name).expanduser(), root), usual or {}
    if path.suffix == ".npz":
        usual = usual if holds_images(path) else {}
        return call_with_options(npz, taken_by(npz, usual) | options, str(path), path)
    if path.suffix == ".parquet" or (path.is_dir() and next(path.rglob("*.parquet"), None) is not None):
        return call_with_options(parquet, taken_by(parquet, usual) | options, str(path), path)
    if path.is_dir():
        return call_with_options(image_folder, taken_by(image_folder, usual) | options, str(path), path)
    raise TaskError(f"{path} is no data set: known are .parquet, .npz, and folders of parquet files or of images")


def _find(path: Path, root: Path | None) -> Path:
    places = [path] if path.is_absolute() else [Path.cwd() / path, *(folder / path for folder in data_folders(root))]
    for place in places:
        if place.exists():
            return place.resolve()
    raise TaskError(f"no data at {' or '.join(map(str, places))}")
