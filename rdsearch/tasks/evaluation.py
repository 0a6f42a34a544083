"""How well a network does its job."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.base.device import arrange, contiguous, exact_kernels, memory_of
from rdsearch.base.network.inputs import forward
from rdsearch.base.network.outputs import main_output
from rdsearch.base.units import standard_error
from rdsearch.errors import TaskError
from rdsearch.tasks.checks.classes import class_numbers, described
from rdsearch.tasks.splits import Batch, Split
from rdsearch.tasks.splits.base import Device

Evaluation = Callable[[nn.Module, Iterable[Batch]], float]
"""From a network in eval mode and its batches, both on one device, to a score."""

CPU_BATCH_SIZE, GPU_BATCH_SIZE = 64, 1024
"""A small batch's activations stay in a CPU's cache (ResNet-20 runs 1.7 times as fast with 64 as with 512)."""

GPU_BATCH_NUMBERS = 2**24
"""Numbers in the inputs of a batch on a GPU, so that large images go in smaller batches: 111 of 3 x 224 x 224."""

GPU_BYTES_A_NUMBER = 1024
"""Of memory that activations and convolutions take, about: ResNet-20 takes 600 for each number of its inputs."""


@contextlib.contextmanager
def _settled(network: nn.Module) -> Iterator[None]:
    """Eval mode, no gradients but those that are asked for, deterministic float32 kernels.

    Never inference mode, whose tensors a network may keep and cannot be trained with; every module's mode is restored
    afterwards.
    """
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        with (
            torch.no_grad(),
            exact_kernels(),
        ):
            yield
    finally:
        for module in training:
            module.training = True


@torch.inference_mode(False)
def evaluate(
    network: nn.Module,
    split: Split,
    evaluation: Evaluation,
    *,
    device: Device = "cpu",
    batch_size: int | None = None,
) -> float:
    """Score a network on a split: eval mode, without gradients, in the split's own order.

    An evaluation that needs gradients takes them inside ``torch.enable_grad()``, whatever the caller's mode is.

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
    """Examples in a batch of an evaluation: what suits the device, and on a GPU an example's size and the memory."""
    if device.type == "cpu":
        return CPU_BATCH_SIZE
    numbers = min(GPU_BATCH_NUMBERS, memory_of(device) // 2 // GPU_BYTES_A_NUMBER)
    return max(1, min(GPU_BATCH_SIZE, numbers // max(1, split.example_numbers)))


def is_classification(output: Any, targets: Any) -> bool:
    """Whether accuracy can be taken of a batch: logits (b, classes) of two classes or more, and one class each."""
    return class_numbers(output, targets) is not None and output.ndim == 2


def no_classification(output: Any, targets: Any) -> str:
    """What :func:`is_classification` finds fault with, in words."""
    if isinstance(output, Tensor) and output.ndim == 2 and output.shape[1] == 1:
        return (
            f"{described(output, targets)}: of one output the largest is always the same; give a score of your own as "
            "evaluate=, or a network with an output for each class"
        )
    return (
        f"{described(output, targets)}: accuracy takes logits (b, classes) and whole labels (b,), the positions among "
        "the outputs; give another score as evaluate="
    )


def labels_out_of_range(role: str, labels: np.ndarray, outputs: int) -> str:
    """What is wrong with labels that a network has no output for, in words."""
    return (
        f"{role}: labels go from {labels.min()} to {labels.max()}, the network has {outputs} outputs: "
        f"allowed are 0 to {outputs - 1}"
    )


def top1(network: nn.Module, batches: Iterable[Batch]) -> float:
    """Share of the examples whose largest logit is their label's; logits (b, classes), labels (b,)."""
    # Summed on the device: reading a number back after each batch would make a GPU wait.
    counts: Tensor | int = 0
    count = 0
    for inputs, targets in batches:
        output = main_output(forward(network, inputs))
        labels = class_numbers(output, targets)
        if labels is None or output.ndim != 2:
            raise TaskError(no_classification(output, targets))
        right = output.argmax(dim=1) == labels
        unknown = (labels < 0) | (labels >= output.shape[1])
        counts = counts + torch.stack([right.sum(), unknown.sum(), output.isnan().any(dim=1).sum()])
        count += len(labels)
    correct, outside, undefined = counts.tolist() if isinstance(counts, Tensor) else (0, 0, 0)
    if outside:
        raise TaskError(f"{outside} of {count} labels are none of the network's outputs, which count from 0")
    if undefined:
        raise TaskError(
            f"the network's output is not a number for {undefined} of {count} examples: look for NaN in the inputs, "
            "and for weights that are too large"
        )
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
