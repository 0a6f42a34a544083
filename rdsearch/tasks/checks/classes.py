"""Targets that are classes of a network's outputs: class numbers, in the forms in which people have them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rdsearch.errors import TaskError

IGNORED = -100
"""Positions with this class count for nothing in torch's cross-entropy."""

UNIT_TOLERANCE = 1e-4
"""By how much the sum of a distribution over classes may miss 1, in float32."""


def class_numbers(output: Any, targets: Any) -> Tensor | None:
    """The class of each example, or of each position in it.

    Args:
        output: Logits, (b, classes, ...), with two classes or more.
        targets: Whole numbers (b, ...), or a column of them (b, 1) or one-hot rows (b, classes) beside plain logits.

    Returns:
        (b, ...) int64; ``None`` where the targets are no classes of such outputs.
    """
    if not isinstance(output, Tensor) or not isinstance(targets, Tensor) or output.ndim < 2 or output.shape[1] < 2:
        return None
    whole = not targets.is_floating_point() and not targets.is_complex()
    if whole and targets.shape == output.shape[:1] + output.shape[2:]:
        return targets.long()
    if whole and output.ndim == 2 and targets.shape == (len(output), 1):
        return targets[:, 0].long()
    if output.ndim == 2 and targets.shape == output.shape and _one_hot(targets):
        return targets.argmax(dim=1) if targets.dtype != torch.bool else targets.int().argmax(dim=1)
    return None


def _one_hot(targets: Tensor) -> bool:
    ones = targets == 1
    return bool((ones | (targets == 0)).all() & (ones.sum(dim=1) == 1).all())


def are_classes(output: Any, targets: Any) -> bool:
    """Whether cross-entropy of a batch means something: classes, or distributions over them (b, classes)."""
    numbers = class_numbers(output, targets)
    if numbers is not None:
        return bool(((numbers == IGNORED) | (numbers >= 0) & (numbers < output.shape[1])).all())
    if not isinstance(output, Tensor) or not isinstance(targets, Tensor) or targets.shape != output.shape:
        return False
    if output.ndim != 2 or output.shape[1] < 2 or not targets.is_floating_point():
        return False
    return bool((targets >= 0).all() & ((targets.sum(dim=1) - 1).abs() < UNIT_TOLERANCE).all())


def cross_entropy(output: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of logits and classes, or of logits and distributions over classes.

    Raises:
        TaskError: The targets are neither.
    """
    numbers = class_numbers(output, targets)
    if numbers is not None:
        return F.cross_entropy(output, numbers)
    if not isinstance(targets, Tensor) or not isinstance(output, Tensor) or not targets.is_floating_point():
        raise TaskError(f"{described(output, targets)}: cross-entropy takes logits and classes; give another loss=")
    return F.cross_entropy(output, targets)


def described(output: Any, targets: Any) -> str:
    """A batch of outputs and targets, in words."""
    return f"output {_kind(output)} and targets {_kind(targets)}"


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, (tuple, list)) and value and isinstance(value[0], str):
        return f"words such as {value[0]!r}"
    return type(value).__name__
