"""From pairs of arrays to a data source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rdsearch.errors import TaskError
from rdsearch.tasks.data.augmentation import augmentation_by_name
from rdsearch.tasks.data.source import DataSource
from rdsearch.tasks.splits import ArraySplit, Split
from rdsearch.tasks.splits.array import UINT8_MAX

Pair = tuple[np.ndarray, np.ndarray]

STATISTICS_IMAGES = 10_000
"""Images, evenly spread, from which mean and standard deviation are taken where none are given."""


@dataclass(frozen=True)
class ImageOptions:
    """How stored images become inputs.

    Attributes:
        mean: For each channel, in units of 1; the training images' own when not given.
        std: Likewise.
        augmentation: Name of an augmentation for training.
        resized: How they were brought to one size, in words that YAML holds; empty where they were not.
    """

    mean: Sequence[float] | float | None = None
    std: Sequence[float] | float | None = None
    augmentation: str | None = None
    resized: Mapping[str, Any] = field(default_factory=dict)


def checked_channels(channels: int | None) -> int | None:
    """The option ``channels``, if it is one.

    Raises:
        TaskError: It is neither 1 nor 3.
    """
    if channels not in (None, 1, 3):
        raise TaskError(f"options.dataset.channels = {channels!r}: give 1 for grey images or 3 for colour")
    return channels


def channel_statistics(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel of uint8 images (n, channels, ...), in units of 1."""
    stride = -(-len(images) // STATISTICS_IMAGES)
    sample = images[::stride].astype(np.float64) / UINT8_MAX
    axes = (0, *range(2, images.ndim))
    deviation = sample.std(axis=axes)
    # A channel that is the same everywhere is shifted to zero and not scaled.
    return sample.mean(axis=axes).tolist(), np.where(deviation > 0, deviation, 1.0).tolist()


def check_labels(labels: np.ndarray, where: str) -> None:
    """Check that integer labels count from zero.

    Raises:
        TaskError: One is negative.
    """
    if labels.dtype.kind in "iu" and labels.ndim == 1 and len(labels) and labels.min() < 0:
        position = int(np.argmin(labels))
        raise TaskError(
            f"{where}: label {labels[position]} at position {position}: labels count from 0; "
            "leave unlabelled examples out"
        )


def source_of(
    train: Pair,
    test: Callable[[], Pair] | None,
    validation: Pair | None,
    options: ImageOptions,
    where: str,
) -> DataSource:
    """Make a data source of pairs (inputs, targets), normalised by the training images' statistics.

    Raises:
        TaskError: Pairs that do not fit, or labels that are negative.
    """
    mean, std = options.mean, options.std
    if train[0].dtype == np.uint8 and train[0].ndim > 1:
        own_mean, own_std = channel_statistics(train[0])
        mean, std = own_mean if mean is None else mean, own_std if std is None else std
    augmentation = augmentation_by_name(options.augmentation)

    def split(pair: Pair, role: str) -> Split:
        check_labels(pair[1], f"{where}, {role}")
        return ArraySplit(*pair, mean=mean, std=std, augmentation=augmentation, resized=options.resized)

    labels = train[1]
    return DataSource(
        train=split(train, "train"),
        test=None if test is None else lambda: split(test(), "test"),
        classes=int(labels.max()) + 1 if labels.ndim == 1 and labels.dtype.kind in "iu" else None,
        validation=None if validation is None else split(validation, "validation"),
    )
