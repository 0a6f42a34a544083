"""Training inputs that methods look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from rdsearch.base.network.inputs import Inputs, count_examples, joined, some_examples
from rdsearch.compression.packing.unread import EXAMPLES
from rdsearch.config.recipe import Recipe
from rdsearch.errors import TaskError
from rdsearch.quantization import needs_calibration
from rdsearch.quantization.batchnorm import batchnorm_layers
from rdsearch.tasks.splits import Split
from rdsearch.tasks.task import Task


@dataclass(frozen=True)
class Calibration:
    """What decides, besides task and seed, on the calibration inputs, and on the network that they are put into.

    Attributes:
        count: Inputs that are drawn as a sample; ``None`` for the few that come first.
        folded: Whether batch normalisation is folded before.
    """

    count: int | None
    folded: bool


def calibration_of(network: nn.Module, recipe: Recipe) -> Calibration:
    """What a recipe says of the calibration inputs of a network."""
    settings = recipe.quantization
    matched = settings.reestimate_batchnorm and bool(batchnorm_layers(network))
    looks = matched or needs_calibration(settings.method)
    return Calibration(settings.calibration if looks else None, settings.fold_batchnorm)


def calibration_inputs(task: Task, network: nn.Module, recipe: Recipe, seed: int, device: torch.device) -> list[Inputs]:
    """One batch of training inputs, a small one where no more than a few are looked at; the same in every round."""
    count = calibration_of(network, recipe).count
    if count is not None:
        return [training_inputs(task, count, seed, device)]
    # Not a subset, which a loader that can only be iterated does not have.
    return [
        next(inputs for inputs, _ in task.train.batches(EXAMPLES, device=device, generator=np.random.default_rng(seed)))
    ]


def training_inputs(task: Task, count: int, seed: int, device: torch.device) -> Inputs:
    """So many training inputs, or all where there are fewer, in one batch; the same in every round."""
    if getattr(task.train, "is_iterable", False):
        return _first(task.train, count, seed, device)
    count = min(count, len(task.train))
    chosen = np.random.default_rng(seed).choice(len(task.train), count, replace=False)
    sample = task.train.subset(np.sort(chosen))
    inputs: Inputs = next(inputs for inputs, _ in sample.batches(count, device=device))
    return inputs


def _first(split: Split, count: int, seed: int, device: torch.device) -> Inputs:
    """The inputs that come first, or all where there are fewer, in one batch; for a split that has no subsets.

    Raises:
        TaskError: There is no batch, or the inputs of several do not fit together.
    """
    found: list[Inputs] = []
    held = 0
    for inputs, _ in split.batches(count, device=device, generator=np.random.default_rng(seed)):
        found.append(inputs)
        held += count_examples(inputs)
        if held >= count:
            break
    if not found:
        raise TaskError("the training data gives no batch: at least one is needed for calibration")
    return some_examples(joined(found), slice(count))
