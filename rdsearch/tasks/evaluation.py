"""How well a network does its job."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.base.device import arrange, contiguous
from rdsearch.base.inputs import forward
from rdsearch.base.units import standard_error
from rdsearch.errors import TaskError
from rdsearch.tasks.splits import Batch, Split
from rdsearch.tasks.splits.base import Device

Evaluation = Callable[[nn.Module, Iterable[Batch]], float]
"""From a network in eval mode and its batches, both on one device, to a score."""

CPU_BATCH_SIZE, GPU_BATCH_SIZE = 64, 1024
"""A small batch's activations stay in a CPU's cache (ResNet-20 runs 1.7 times as fast with 64 as with 512)."""

GPU_BATCH_NUMBERS = 2**24
"""Numbers in the inputs of a batch on a GPU, so that large images go in smaller batches: 111 of 3 x 224 x 224."""


@contextlib.contextmanager
def _settled(network: nn.Module) -> Iterator[None]:
    """Eval mode, no gradients, deterministic float32 kernels; every module's mode is restored afterwards."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            yield
    finally:
        for module in training:
            module.training = True


def evaluate(
    network: nn.Module,
    split: Split,
    evaluation: Evaluation,
    *,
    device: Device = "cpu",
    batch_size: int | None = None,
) -> float:
    """Score a network on a split: eval mode, inference mode, the split's own order.

    Args:
        network: Moved to ``device``; its training mode is restored.
        split: What it is scored on.
        evaluation: Gets the network and the batches.
        device: Where to compute.
        batch_size: Examples in a batch; what suits the device when not given.

    Raises:
        TaskError: The score is no number.
    """
    device = torch.device(device)
    size = batch_size or suitable_batch(split, device)
    network.to(device)
    batches = iter(split.batches(size, device=device))
    first = next(batches, None)
    changed = []
    if first is not None:
        changed = arrange(network, first[0])
        batches = itertools.chain([first], batches)
    try:
        with _settled(network):
            score = evaluation(network, batches)
    finally:
        contiguous(changed)  # not the others: an optimiser in mid-training goes by how they lie
    try:
        return float(score)
    except (TypeError, ValueError):
        raise TaskError(f"evaluate returned {score!r}: it has to return one number") from None


def suitable_batch(split: Split, device: torch.device) -> int:
    """Examples in a batch of an evaluation: what suits the device, and the size of one example on a GPU."""
    if device.type == "cpu":
        return CPU_BATCH_SIZE
    return max(1, min(GPU_BATCH_SIZE, GPU_BATCH_NUMBERS // max(1, split.example_numbers)))


def is_classification(output: Any, targets: Any) -> bool:
    """Whether accuracy can be taken of a batch: logits (b, classes) and whole labels (b,)."""
    if not isinstance(output, Tensor) or not isinstance(targets, Tensor):
        return False
    return output.ndim == 2 and targets.ndim == 1 and not targets.is_floating_point()


def no_classification(output: Any, targets: Any) -> str:
    """What :func:`is_classification` finds fault with, in words."""
    shapes = [
        f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
        if isinstance(value, Tensor)
        else type(value).__name__
        for value in (output, targets)
    ]
    return (
        f"output {shapes[0]} and targets {shapes[1]}: accuracy takes logits (b, classes) and whole labels (b,); "
        "give another score as evaluate="
    )


def labels_out_of_range(role: str, labels: np.ndarray, outputs: int) -> str:
    """What is wrong with labels that a network has no output for, in words."""
    return (
        f"{role}: labels go from {labels.min()} to {labels.max()}, the network has {outputs} outputs: "
        f"allowed are 0 to {outputs - 1}"
    )


def top1(network: nn.Module, batches: Iterable[Batch]) -> float:
    """Share of the examples whose largest logit is their label's; logits (b, classes), labels (b,)."""
    correct: Tensor | int = 0
    count = 0
    for inputs, labels in batches:
        output = forward(network, inputs)
        if not is_classification(output, labels):
            raise TaskError(no_classification(output, labels))
        # Summed on the device: reading a number back after each batch would make a GPU wait.
        correct = correct + (output.argmax(dim=1) == labels).sum()
        count += len(labels)
    return float(correct) / count


def accuracy(network: nn.Module, split: Split, *, device: Device = "cpu", batch_size: int | None = None) -> float:
    """Top-1 accuracy as a share of 1; see :func:`evaluate`."""
    return evaluate(network, split, top1, device=device, batch_size=batch_size)


def accuracy_text(score: float, examples: int, is_accuracy: bool = True) -> str:
    """A score with how sure it is: ``"0.9712 ± 0.0024 (standard error) on 5,000 examples"``.

    Args:
        score: What was measured.
        examples: On so many examples.
        is_accuracy: Whether it is a share of right answers, whose standard error is known.
    """
    error = f" ± {standard_error(score, examples):.4f} (standard error)" if is_accuracy else ""
    return f"{score:.4f}{error} on {examples:,} examples"
