"""How far a network's answers are from those of the float network: a score that needs no labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from rdsearch.base.device import doubles
from rdsearch.base.network.inputs import Inputs, forward
from rdsearch.base.network.outputs import main_output
from rdsearch.errors import TaskError
from rdsearch.tasks.splits import Batch

_SEQUENCES = 3
"""Axes of logits up to which the classes are the last one; images have them second."""


def divergence(reference: nn.Module, network: nn.Module, batches: Iterable[Batch]) -> float:
    """Mean Kullback-Leibler divergence KL(reference || network) of the answers, in nats.

    The mean is over all examples, and over all positions in them: logits (b, classes), (b, positions, classes), or
    (b, classes, height, width, ...). Positions where an ``attention_mask`` among the inputs is zero do not count.

    Args:
        reference: The float network, in eval mode and on the device of the batches.
        network: The other one, likewise.
        batches: Inputs and targets, which are not looked at.

    Raises:
        TaskError: The outputs are no logits.
    """
    total, count = 0.0, 0
    for inputs, _ in batches:
        wanted, found = (_log_probabilities(forward(one, inputs)) for one in (reference, network))
        each = doubles(torch.nn.functional.kl_div(found, wanted, reduction="none", log_target=True)).sum(-1)
        counted = _counted(inputs, each)
        total += float((each * counted).sum())
        count += int(counted.sum())
    # What rounding leaves of nothing may be less.
    return max(total / max(1, count), 0.0)


def _log_probabilities(output: object) -> Tensor:
    """Logarithms of probabilities, the classes last, float32 or wider."""
    logits = main_output(output)
    if not isinstance(logits, Tensor) or not logits.is_floating_point() or logits.ndim < 2:
        raise TaskError(
            f"evaluate: kl compares logits (b, classes), and the network returns a {type(logits).__name__}"
            + (f" of {tuple(logits.shape)}" if isinstance(logits, Tensor) else "")
            + ": give a score of your own as evaluate="
        )
    classes = logits if logits.ndim <= _SEQUENCES else logits.movedim(1, -1)
    if classes.shape[-1] == 1:
        raise TaskError(
            "evaluate: kl compares logits of two classes or more, and the network has one output: give a score of your "
            "own as evaluate="
        )
    return classes.float().log_softmax(-1)


def _counted(inputs: Inputs, each: Tensor) -> Tensor:
    """1 where a position counts, and 0 where it is padding: of the shape of ``each``."""
    mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
    if isinstance(mask, Tensor) and mask.shape == each.shape:
        return (mask != 0).to(each.device).to(each.dtype)
    return torch.ones_like(each)
