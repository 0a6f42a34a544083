"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): 60 000 colour images of 32 x 32."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from rdsearch.tasks.data.augmentation import crop_and_flip
from rdsearch.tasks.data.source import DataSource
from rdsearch.tasks.data.torchvision_sets import open_dataset
from rdsearch.tasks.splits import ArraySplit

Channels = Sequence[float]

CIFAR10_MEAN, CIFAR10_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
CIFAR100_MEAN, CIFAR100_STD = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
"""Of the training images, for red, green and blue, in units of 1."""


def _split(name: str, files: str, root: Path | None, mean: Channels, std: Channels, *, train: bool) -> ArraySplit:
    from torchvision import datasets  # torchvision takes a second to import

    data = open_dataset(getattr(datasets, name), root, files, train=train)
    images = np.ascontiguousarray(data.data.transpose(0, 3, 1, 2))
    return ArraySplit(images, np.asarray(data.targets), mean=mean, std=std, augmentation=crop_and_flip)


def cifar10(root: Path | None = None, mean: Channels = CIFAR10_MEAN, std: Channels = CIFAR10_STD) -> DataSource:
    """Ten classes of images (n, 3, 32, 32): 50 000 for training, 10 000 for the test.

    Args:
        root: Folder that holds ``cifar-10-batches-py``.
        mean: What a checkpoint was trained with, where it is not CIFAR-10's own.
        std: Likewise.
    """
    read = partial(_split, "CIFAR10", "the folder cifar-10-batches-py", root, mean, std)
    return DataSource(train=read(train=True), test=partial(read, train=False), classes=10)


def cifar100(root: Path | None = None, mean: Channels = CIFAR100_MEAN, std: Channels = CIFAR100_STD) -> DataSource:
    """A hundred classes of images (n, 3, 32, 32): 50 000 for training, 10 000 for the test.

    Args:
        root: Folder that holds ``cifar-100-python``.
        mean: What a checkpoint was trained with, where it is not CIFAR-100's own.
        std: Likewise.
    """
    read = partial(_split, "CIFAR100", "the folder cifar-100-python", root, mean, std)
    return DataSource(train=read(train=True), test=partial(read, train=False), classes=100)
