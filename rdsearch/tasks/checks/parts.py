"""The training and the validation part of a task."""

from __future__ import annotations

import numpy as np

from rdsearch.errors import TaskError
from rdsearch.tasks.splits import ArraySplit, Split, SplitLike, as_split, cut_validation
from rdsearch.tasks.splits.copies import IMAGE_AXES, copies

VALIDATION_SHARE = 0.1
"""Of the training split, cut for validation when nothing else is said."""


def parts(train: Split, validation: SplitLike | int | float | None, seed: int) -> tuple[Split, Split, list[str]]:
    """The training and the validation part, which is cut from the first where none is given.

    Images that would be in both are left out of training where the part is cut; what is done, or should be, is said.

    Args:
        train: The training split.
        validation: The validation split, or how much of ``train`` is cut for it; :data:`VALIDATION_SHARE` when not
            given.
        seed: Of the cut.

    Returns:
        Both parts, and what is to be said of them, one sentence each.

    Raises:
        TaskError: Nothing would be left on one side, or the two hold images of different kinds.
    """
    if validation is None:
        validation = VALIDATION_SHARE
    if not isinstance(validation, int | float | np.number):
        held = as_split(validation, "validation")
        _check_alike(train, held)
        count = len(copies(held, train))
        said = f"{count} of {len(held)} validation images are training images too, to the last pixel: leave them out"
        return train, held, [said] if count else []
    left, held = cut_validation(train, validation, seed)
    seen = copies(left, held)
    if len(seen) == 0:
        return left, held, []
    if len(seen) == len(left):
        raise TaskError("every training image is a copy of one in the validation part: there is nothing to learn from")
    said = f"{len(seen)} training images are copies of some in the validation part, and are left out of training"
    return left.subset(np.setdiff1d(np.arange(len(left)), seen, assume_unique=True)), held, [said]


def _check_alike(train: Split, validation: Split) -> None:
    """Check that both parts hold images of one kind, of which one would otherwise be scaled and the other not."""
    kinds = [part.stored_inputs for part in (train, validation) if isinstance(part, ArraySplit)]
    if len({inputs.dtype for inputs in kinds if inputs.ndim == IMAGE_AXES}) > 1:
        raise TaskError(
            f"train holds images of {kinds[0].dtype} and validation of {kinds[1].dtype}: uint8 is divided by 255, and "
            "floats are not; give both in one dtype"
        )
