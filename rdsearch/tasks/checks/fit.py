"""Whether a network and its data fit each other, by a few examples and before anything is spent on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rdsearch.base.blame import blamed
from rdsearch.base.network.inputs import forward
from rdsearch.base.network.outputs import main_output, tensors_of
from rdsearch.errors import TaskError
from rdsearch.tasks.checks.classes import are_classes, class_numbers
from rdsearch.tasks.evaluation import is_classification, labels_out_of_range, no_classification
from rdsearch.tasks.splits import Split

EXAMPLES = 8
"""Training examples that are tried."""


@torch.inference_mode(False)
def try_out(network: nn.Module, splits: Mapping[str, Split], *, is_accuracy: bool) -> bool:
    """Run a network on a few examples.

    Args:
        network: On the CPU, in eval mode.
        splits: Its parts by role; the examples are those of ``train``.
        is_accuracy: Whether the score is top-1 accuracy, for which more has to fit.

    Returns:
        Whether the targets are classes of the network's outputs.

    Raises:
        TaskError: The network does not take the inputs, an input is not finite, or, for accuracy, the targets are no
            classes of the outputs.
    """
    with blamed("the training data cannot be read"):
        inputs, targets = next(iter(splits["train"].batches(EXAMPLES)))
    _require_finite(inputs)
    shape = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
    with blamed(f"the network does not take its inputs, a batch of which is {shape}"), torch.no_grad():
        output = forward(network, inputs)
    try:
        output = main_output(output)
    except TaskError:
        if is_accuracy:
            raise
        return False
    if is_accuracy:
        _require_classes(output, targets, splits)
    return are_classes(output, targets)


def _require_finite(inputs: Any) -> None:
    for tensor in tensors_of(inputs):
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            odd = int((~torch.isfinite(tensor.reshape(len(tensor), -1))).any(dim=1).sum())
            raise TaskError(
                f"train: inputs are NaN or infinite in {odd} of the first {len(tensor)} examples: leave such examples "
                "out, or fill in what is missing"
            )


def _require_classes(output: Any, targets: Any, splits: Mapping[str, Split]) -> None:
    # Training targets may be distributions over the classes where examples are mixed.
    if not is_classification(output, targets) and not (are_classes(output, targets) and output.ndim == 2):
        raise TaskError(no_classification(output, targets))
    known = {role: split.labels for role, split in splits.items()}
    if known["train"] is None:
        numbers = class_numbers(output, targets)
        known["train"] = None if numbers is None else numbers.numpy()
    for role, labels in known.items():
        if labels is not None and not 0 <= labels.min() <= labels.max() < output.shape[1]:
            raise TaskError(labels_out_of_range(role, labels, output.shape[1]))
