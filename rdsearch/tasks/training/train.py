"""The one training loop: for the dense baseline, and for retraining with masks held."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.base.device import contiguous
from rdsearch.base.randomness import isolated_rng
from rdsearch.errors import TaskError
from rdsearch.tasks.checks.classes import cross_entropy
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.splits import Batch, Split
from rdsearch.tasks.splits.base import Device
from rdsearch.tasks.training.hooks import StepHook
from rdsearch.tasks.training.interruption import resume_from, save_progress
from rdsearch.tasks.training.stepper import Loss, Stepper, hold


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training part did.

    Attributes:
        number: Counted from 1.
        of: How many there will be.
        loss: Mean training loss over the pass.
        seconds: Wall time of the pass.
    """

    number: int
    of: int
    loss: float
    seconds: float


Progress = Callable[[Epoch], None]


@torch.inference_mode(False)
def train(
    network: nn.Module,
    split: Split,
    config: TrainingConfig,
    *,
    seed: int = 0,
    device: Device = "cpu",
    masks: Mapping[str, Tensor] | None = None,
    progress: Progress | None = None,
    loss: Loss = cross_entropy,
    resume: Path | None = None,
    hooks: Sequence[StepHook] = (),
) -> None:
    """Train ``network`` in place, with gradients whatever the caller's mode is.

    Args:
        network: Moved to ``device``; left in the mode (training or evaluation) in which it came.
        split: What it learns from.
        config: Epochs, learning rate, optimiser.
        seed: Of order, augmentation and dropout. The same seed gives the same weights on a CPU with the
            same number of threads; the caller's random state is untouched.
        device: Where to compute; on a GPU in mixed precision, channels last.
        masks: Parameter name to a boolean tensor of its shape: where it is False the weight is zero, is never
            updated, and leaves no trace in the optimiser's state.
        progress: Called after each epoch.
        loss: Minimised; cross-entropy of logits and labels when not given.
        resume: File that keeps a long training's state, and from which an interrupted one goes on; not with hooks,
            whose state it does not hold.
        hooks: What else happens around each step.

    Raises:
        TaskError: A mask that fits no parameter, or a loss that is no finite number.
    """
    if config.epochs == 0:
        hold(network, masks)
        return
    device = torch.device(device)
    network.to(device)
    modes = [(module, module.training) for module in network.modules()]
    network.train()
    try:
        with isolated_rng(seed):
            _run(network, split, config, np.random.default_rng(seed), device, masks, progress, loss, resume, hooks)
    finally:
        contiguous([*network.parameters(), *network.buffers()])
        for module, mode in modes:
            module.training = mode


def training_steps(examples: int, config: TrainingConfig) -> tuple[int, int]:
    """Steps of an epoch, and of the whole training where it does not end early."""
    # The last batch of a pass is left out where it is a single example, which batch norm cannot take.
    single = examples > 1 and config.batch_size > 1 and examples % config.batch_size == 1
    steps_per_epoch = math.ceil(examples / config.batch_size) - single
    return steps_per_epoch, max(1, round(config.epochs * steps_per_epoch))


def _run(
    network: nn.Module,
    split: Split,
    config: TrainingConfig,
    generator: np.random.Generator,
    device: torch.device,
    masks: Mapping[str, Tensor] | None,
    progress: Progress | None,
    loss: Loss,
    resume: Path | None,
    hooks: Sequence[StepHook],
) -> None:
    steps_per_epoch, steps = training_steps(len(split), config)
    stepper = Stepper(network, config, steps, hold(network, masks), loss, device, hooks)
    epochs = math.ceil(steps / steps_per_epoch)
    finished = resume_from(resume, stepper, generator)
    saved = time.perf_counter()
    for number in range(finished + 1, epochs + 1):
        start = time.perf_counter()
        last = steps - (number - 1) * steps_per_epoch  # fewer than a whole pass where epochs is no whole number
        mean = _epoch(stepper, batches(split, config, generator, device), last)
        if not math.isfinite(mean):
            raise TaskError(
                f"the training loss is {mean} in epoch {number} with lr = {config.lr}: lower the "
                "learning rate, and look for values that are not finite in the data"
            )
        if number < epochs:
            saved = save_progress(resume, stepper, generator, number, saved)
        if progress is not None:
            progress(Epoch(number, epochs, mean, time.perf_counter() - start))
        if any(hook.epoch_done() for hook in hooks):
            break
    for hook in hooks:
        hook.finish()


def _epoch(stepper: Stepper, batches: Iterator[Batch], steps: int) -> float:
    """Take up to ``steps`` steps; the mean loss."""
    total, done = torch.zeros((), device=stepper.device), 0
    for batch in batches:
        total += stepper.step(batch)
        done += 1
        if done == steps:
            break
    return float(total) / max(1, done)


def batches(
    split: Split, config: TrainingConfig, generator: np.random.Generator, device: torch.device
) -> Iterator[Batch]:
    """Batches of a shuffled pass, without a last one of a single example, see :func:`training_steps`."""
    for inputs, targets in split.batches(config.batch_size, device=device, generator=generator, augment=True):
        if len(targets) > 1 or len(split) == 1 or config.batch_size == 1:
            yield inputs, targets
