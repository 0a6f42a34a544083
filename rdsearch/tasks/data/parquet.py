"""Parquet shards of encoded images with labels, as the public hubs publish data sets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rdsearch.errors import TaskError
from rdsearch.tasks.data.arrays import ImageOptions, checked_channels, source_of
from rdsearch.tasks.data.decoding import Encoded, Images, check_cached, decode_cached, form_of
from rdsearch.tasks.data.sizing import Sizing, described
from rdsearch.tasks.data.source import DataSource
from rdsearch.tasks.data.visible import visible_files

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")

ROWS_READ = 1024
"""Rows held in memory at a time."""

_SPLIT = re.compile(r"(?:^|[/_.-])(train|test|validation|valid|val)(?=[/_.-])")
_ROLES = {
    "train": "train",
    "test": "test",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
}


def parquet(
    path: Path,
    *,
    image: str | None = None,
    label: str | None = None,
    size: int | Sizing | None = None,
    channels: int | None = None,
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
    augmentation: str | None = None,
) -> DataSource:
    """Read one file, or a folder of shards named by their split (``train-00000.parquet``, ``test/0.parquet``).

    Args:
        path: The file or folder. A single file, or files that name no split, are all for training.
        image: Column of ``{bytes, path}`` or of bytes; ``image`` or ``img`` when not given.
        label: Column of integer labels; ``label``, ``labels`` or ``fine_label`` when not given.
        size: Scale and crop to ``size`` x ``size`` pixels; needed when the images differ in size.
        channels: 1 for grey, 3 for colour; grey where all training images are when not given.
        mean: For each channel, in units of 1; the training images' own when not given.
        std: Likewise.
        augmentation: ``crop_and_flip``, or none.

    Raises:
        TaskError: No files, no such column, or an image or label that cannot be read: which one is said.
    """
    shards = _shards(path)
    if "train" not in shards:
        raise TaskError(f"{path} has shards for {', '.join(shards)} but none for train")

    images = {role: _images(files, image, label) for role, files in shards.items()}
    train = decode_cached(images["train"], size, channels=checked_channels(channels))
    form = form_of(train[0])
    if "test" in images:
        check_cached(images["test"], size, form)
    return source_of(
        train,
        partial(decode_cached, images["test"], size, form) if "test" in images else None,
        decode_cached(images["validation"], size, form) if "validation" in images else None,
        ImageOptions(mean, std, augmentation, described(size)),
        str(path),
    )


def _shards(path: Path) -> dict[str, list[Path]]:
    """Split name to its files, sorted by name."""
    if path.is_file():
        return {"train": [path]}
    files = [file for file in visible_files(path) if file.suffix == ".parquet"]
    if not files:
        raise TaskError(f"{path} holds no .parquet file")
    found: dict[str, list[Path]] = {}
    for file in files:
        names = _SPLIT.findall(file.relative_to(path).as_posix().lower())
        if names:
            found.setdefault(_ROLES[names[-1]], []).append(file)
    return found or {"train": files}


def _images(files: list[Path], image: str | None, label: str | None) -> Images:
    import pyarrow as pa
    from pyarrow import parquet as pq

    try:
        tables = [pq.ParquetFile(file) for file in files]
    except (pa.ArrowException, OSError) as error:
        raise TaskError(f"{files[0].parent}: not every file is a readable parquet file: {error}") from None
    columns = tables[0].schema_arrow.names
    image = _column(columns, image, IMAGE_COLUMNS, files[0], "image")
    label = _column(columns, label, LABEL_COLUMNS, files[0], "label")
    for file, table in zip(files, tables, strict=True):
        kind = table.schema_arrow.field(image).type if image in table.schema_arrow.names else pa.null()
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") < 0:
            raise TaskError(
                f"{file}: its column {image} holds {', '.join(field.name for field in kind)} and no bytes: images are "
                "read from the file itself"
            )
    count = sum(table.metadata.num_rows for table in tables)
    return Images(files, f"{image} {label}", count, partial(_rows, files, tables, image, label))


def _column(columns: list[str], given: str | None, usual: Sequence[str], file: Path, option: str) -> str:
    names = usual if given is None else (given,)
    for name in names:
        if name in columns:
            return name
    raise TaskError(
        f"{file} has no column {' or '.join(names)}, only {', '.join(columns)}: "
        f"name the one to use in options.dataset.{option}"
    )


def _rows(files: list[Path], tables: list[Any], image: str, label: str) -> Iterator[Encoded]:
    import pyarrow as pa

    for file, table in zip(files, tables, strict=True):
        number = 0
        try:
            for batch in table.iter_batches(ROWS_READ, columns=[image, label]):
                for picture, target in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True):
                    where = f"{file}, row {number}"
                    if not isinstance(target, int):
                        raise TaskError(f"{where}: label {target!r} is no integer: columns of class numbers are needed")
                    yield where, picture["bytes"] if isinstance(picture, dict) else picture, target
                    number += 1
        except (pa.ArrowException, OSError) as error:
            raise TaskError(f"{file} is damaged after row {number}: {error}") from None
