"""Images that lie in two parts of a data set."""

from __future__ import annotations

import numpy as np

from rdsearch.tasks.splits.array import ArraySplit
from rdsearch.tasks.splits.base import Split

COMPARED = 64
"""Pixels, evenly spread, that are compared first; only images that agree in them are compared as a whole."""

IMAGE_AXES = 4
"""Of stored images (n, channels, height, width)."""


def copies(part: Split, other: Split) -> np.ndarray:
    """Positions of the images of ``part`` that are in ``other`` too, to the last pixel, (m,) int64.

    Only stored images are compared: rows of tables and sequences of tokens may well be the same by chance.
    """
    if not isinstance(part, ArraySplit) or not isinstance(other, ArraySplit):
        return np.empty(0, np.int64)
    images, others = part.stored_inputs, other.stored_inputs
    if not _are_images(images) or not _are_images(others) or images.shape[1:] != others.shape[1:]:
        return np.empty(0, np.int64)
    likely = np.flatnonzero(np.isin(_keys(images, part.rows), _keys(others, other.rows)))
    if len(likely) == 0:
        return likely
    chosen = np.flatnonzero(np.isin(_keys(others, other.rows), _keys(images, part.rows[likely])))
    seen = {others[row].tobytes() for row in other.rows[chosen]}
    return likely[[images[row].tobytes() in seen for row in part.rows[likely]]]


def _are_images(inputs: np.ndarray) -> bool:
    return inputs.dtype == np.uint8 and inputs.ndim == IMAGE_AXES


def _keys(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Some pixels of each image as one value, (n,)."""
    numbers = int(np.prod(images.shape[1:]))
    at = np.unravel_index(np.linspace(0, numbers - 1, min(COMPARED, numbers)).astype(np.int64), images.shape[1:])
    pixels = np.stack([images[rows, channel, row, column] for channel, row, column in zip(*at, strict=True)], axis=1)
    return pixels.view(np.dtype((np.void, pixels.shape[1]))).ravel()
