"""MNIST (LeCun et al. 1998) and Fashion-MNIST (Xiao et al. 2017): 70 000 grey images of 28 x 28."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from rdsearch.tasks.data.source import DataSource
from rdsearch.tasks.data.torchvision_sets import open_dataset
from rdsearch.tasks.splits import ArraySplit

CLASSES = 10

NORMALIZATION = {"MNIST": (0.1307, 0.3081), "FashionMNIST": (0.2860, 0.3530)}
"""Mean and standard deviation of the training images, in units of 1."""


def _split(name: str, root: Path | None, *, train: bool) -> ArraySplit:
    from torchvision import datasets  # torchvision takes a second to import

    data = open_dataset(getattr(datasets, name), root, f"the four IDX files under {name}/raw", train=train)
    mean, std = NORMALIZATION[name]
    return ArraySplit(data.data.numpy()[:, None], data.targets.numpy(), mean=mean, std=std)


def _source(name: str, root: Path | None) -> DataSource:
    return DataSource(
        train=_split(name, root, train=True), test=partial(_split, name, root, train=False), classes=CLASSES
    )


def mnist(root: Path | None = None) -> DataSource:
    """Handwritten digits (n, 1, 28, 28): 60 000 for training, 10 000 for the test."""
    return _source("MNIST", root)


def fashion_mnist(root: Path | None = None) -> DataSource:
    """Pieces of clothing (n, 1, 28, 28): 60 000 for training, 10 000 for the test."""
    return _source("FashionMNIST", root)
