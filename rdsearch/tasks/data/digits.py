"""Scikit-learn's digits: 1 797 scanned digits, inside the package, no download."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from rdsearch.tasks.data.source import DataSource
from rdsearch.tasks.splits import ArraySplit
from rdsearch.tasks.splits.cut import stratified

CLASSES = 10
GREY_LEVELS = 16
"""The scans hold whole numbers from 0 to 16."""

TEST_EXAMPLES = 360
"""The set comes in one piece: a fifth of it, stratified, drawn with seed 0 for good, is the test split."""

MEAN, STD = 0.305, 0.376
"""Of the training split's pixels, in units of 1."""


def scans() -> tuple[np.ndarray, np.ndarray]:
    """Scans (n, 64) float64 and their digits (n,) int64, as scikit-learn gives them."""
    package = find_spec("sklearn")
    table = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz" if package and package.origin else None
    if table is None or not table.exists():
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        return images, labels
    # Read without scikit-learn, which takes two seconds to import.
    rows = np.loadtxt(table, delimiter=",")
    return rows[:, :-1], rows[:, -1].astype(np.int64)


def _split(*, test: bool) -> ArraySplit:
    images, labels = scans()
    held = stratified(labels, TEST_EXAMPLES, np.random.default_rng(0))
    rows = held if test else np.setdiff1d(np.arange(len(labels)), held, assume_unique=True)
    pixels = np.rint(images[rows] * (255 / GREY_LEVELS)).astype(np.uint8)
    return ArraySplit(pixels.reshape(-1, 1, 8, 8), labels[rows], mean=MEAN, std=STD)


def digits(root: Path | None = None) -> DataSource:
    """Grey images (n, 1, 8, 8) of ten digits: 1 437 for training, 360 for the test."""
    return DataSource(train=_split(test=False), test=partial(_split, test=True), classes=CLASSES)
