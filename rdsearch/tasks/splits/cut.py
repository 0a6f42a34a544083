"""The validation part, cut from the training split, and the subset of it that trials are scored on."""

from __future__ import annotations

import math

import numpy as np

from rdsearch.errors import TaskError
from rdsearch.tasks.splits.base import Split


def stratified(labels: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw ``count`` positions so that every class has its share, rounded by largest remainder.

    Args:
        labels: Class of each example, (n,) int64.
        count: Positions to draw, at most n.
        generator: Source of randomness.

    Returns:
        Sorted positions, (count,) int64.
    """
    classes, members = np.unique(labels, return_counts=True)
    exact = members * (count / len(labels))
    shares = np.floor(exact).astype(np.int64)
    # A stable sort, so that equal remainders go to the first classes on every machine.
    shares[np.argsort(shares - exact, kind="stable")[: count - shares.sum()]] += 1
    drawn = [
        generator.choice(np.flatnonzero(labels == label), share, replace=False)
        for label, share in zip(classes, shares, strict=True)
    ]
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def count_of(size: int | float, examples: int, what: str) -> int:
    """How many of ``examples`` a setting (a count, or a share of 1) takes.

    Args:
        size: The setting.
        examples: How many there are.
        what: The setting's name, for messages.

    Raises:
        TaskError: Nothing would be left on one of the two sides, or it is no number.
    """
    # pydantic and Python both take True for 1, so that "validation=True" would cut a single example.
    number = isinstance(size, int | float | np.number) and not isinstance(size, bool)
    count = 0
    if number and math.isfinite(size):
        count = int(size) if isinstance(size, int | np.integer) else round(examples * float(size))
    if not 0 < count < examples:
        takes = f" takes {count} of {examples:,} examples" if number else ""
        raise TaskError(
            f"{what} = {size!r}{takes}: give a count from 1 to {examples - 1}, or a share of them above 0 and below 1"
        )
    return count


def _drawn(split: Split, count: int, seed: int) -> np.ndarray:
    """Sorted positions of ``count`` examples, (count,) int64, every class with its share where classes are known."""
    generator = np.random.default_rng(seed)
    if split.labels is None:
        return np.sort(generator.choice(len(split), count, replace=False))
    return stratified(split.labels, count, generator)


def cut_validation(split: Split, validation: int | float, seed: int) -> tuple[Split, Split]:
    """Cut a validation part from a training split, stratified by class where the classes are known.

    Args:
        split: The training split.
        validation: How many examples, or which share of 1.
        seed: The same seed cuts the same part; its positions are part of both fingerprints.

    Returns:
        The training part that is left, and the validation part.

    Raises:
        TaskError: Nothing would be left on one of the two sides.
    """
    held = _drawn(split, count_of(validation, len(split), "validation"), seed)
    left = np.setdiff1d(np.arange(len(split)), held, assume_unique=True)
    return split.subset(left), split.subset(held)


def draw_subset(validation: Split, size: int | float, seed: int) -> Split:
    """The examples of a validation part that a search's trials are scored on, every class with its share.

    Args:
        validation: The whole part.
        size: How many of its examples, or which share of 1.
        seed: The same seed draws the same examples.

    Raises:
        TaskError: It would be empty, or the whole part; or the part can only be read as a whole.
    """
    return validation.subset(_drawn(validation, count_of(size, len(validation), "validation_subset"), seed))
