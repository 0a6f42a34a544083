"""The validation part, cut from the training split."""

from __future__ import annotations

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


def validation_count(examples: int, validation: int | float) -> int:
    """How many of ``examples`` a ``validation`` setting (a count, or a share of 1) takes.

    Raises:
        TaskError: Nothing would be left on one of the two sides.
    """
    count = validation if isinstance(validation, int) else round(examples * validation)
    if not 0 < count < examples:
        raise TaskError(
            f"validation = {validation!r} takes {count} of {examples} training examples: "
            f"allowed are 1 to {examples - 1}, or a share of 1"
        )
    return count


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
    examples = len(split)
    count = validation_count(examples, validation)
    generator = np.random.default_rng(seed)
    labels = split.labels
    if labels is None:
        held = np.sort(generator.choice(examples, count, replace=False))
    else:
        held = stratified(labels, count, generator)
    left = np.setdiff1d(np.arange(examples), held, assume_unique=True)
    return split.subset(left), split.subset(held)
