"""Arrays in a ``.npz`` file."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rdsearch.base.units import format_size
from rdsearch.errors import TaskError
from rdsearch.tasks.data.arrays import ImageOptions, Pair, source_of
from rdsearch.tasks.data.source import DataSource

KEYS = {"train": ("x_train", "y_train"), "validation": ("x_val", "y_val"), "test": ("x_test", "y_test")}
IMAGE_CHANNELS = (1, 3)
_MOST_DEFLATED = 1032
"""Bytes that one byte of a deflated file stands for at the most."""


def npz(
    path: Path,
    *,
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
    augmentation: str | None = None,
) -> DataSource:
    """Read ``x_train``, ``y_train`` and, where they are there, ``x_test``, ``y_test``, ``x_val``, ``y_val``.

    Args:
        path: The file. uint8 images may be (n, height, width), (n, height, width, channels) or
            (n, channels, height, width).
        mean: For each channel, in units of 1; the training images' own when not given.
        std: Likewise.
        augmentation: ``crop_and_flip``, or none.

    Raises:
        TaskError: No such file or array, or arrays of Python objects.
    """
    names = _names(path)
    if missing := [key for key in KEYS["train"] if key not in names]:
        raise TaskError(f"{path} holds {', '.join(names)} but not {' and '.join(missing)}")
    roles = {role for role, keys in KEYS.items() if all(key in names for key in keys)}
    for role in roles - {"train"}:
        _check_form(path, role)
    return source_of(
        _pair(path, "train"),
        partial(_pair, path, "test") if "test" in roles else None,
        _pair(path, "validation") if "validation" in roles else None,
        ImageOptions(mean, std, augmentation),
        str(path),
    )


def holds_images(path: Path) -> bool:
    """Whether the training inputs are uint8 pixels; not so of a file that cannot be read."""
    try:
        return _header(path, KEYS["train"][0])[1] == np.uint8
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return False


def _names(path: Path) -> list[str]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return list(arrays.files)
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise TaskError(f"{path} is no readable .npz file: {error}") from None


def _check_form(path: Path, role: str) -> None:
    """Check that a split's inputs are stored as the training inputs are, without reading them."""
    (shape, dtype), (train_shape, train_dtype) = (_header(path, KEYS[split][0]) for split in (role, "train"))
    if shape[1:] != train_shape[1:] or (dtype == np.uint8) != (train_dtype == np.uint8):
        raise TaskError(
            f"{path}: {KEYS[role][0]} is {dtype} {shape}, {KEYS['train'][0]} is {train_dtype} {train_shape}: store "
            "both alike; uint8 is divided by 255, and floats are not"
        )


def _header(path: Path, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        read = np.lib.format.read_array_header_1_0
        if np.lib.format.read_magic(file) != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    return shape, dtype


def _pair(path: Path, role: str) -> Pair:
    inputs, targets = KEYS[role]
    try:
        for name in (inputs, targets):
            _check_length(path, name)
        with np.load(path, allow_pickle=False) as arrays:
            return _channels_first(arrays[inputs]), arrays[targets]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise TaskError(f"{path}, {role}: {error}") from None
    except MemoryError as error:
        raise TaskError(f"{path}, {role}: it does not fit into this machine's memory: {error}") from None


def _check_length(path: Path, name: str) -> None:
    """Check that an array's header declares no more than the file can hold, before memory is taken for it."""
    shape, dtype = _header(path, name)
    declared, held = math.prod(shape) * dtype.itemsize, path.stat().st_size
    if declared > held * _MOST_DEFLATED:
        raise ValueError(
            f"{name} declares {format_size(declared)}, and the whole file has {format_size(held)}: it is damaged"
        )


def _channels_first(inputs: np.ndarray) -> np.ndarray:
    if inputs.dtype != np.uint8:
        return inputs
    if inputs.ndim == 3:
        return inputs[:, None]
    if inputs.ndim == 4 and inputs.shape[-1] in IMAGE_CHANNELS and inputs.shape[1] not in IMAGE_CHANNELS:
        return np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))
    return inputs
