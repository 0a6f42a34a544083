"""A round's retraining: the survivors of a network, by the options of the recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from rdsearch.errors import TrialError
from rdsearch.retraining.augmentation import Augmented
from rdsearch.retraining.distillation import Distillation
from rdsearch.retraining.selection import BestEpoch
from rdsearch.retraining.settings import DistillationSettings, RetrainRecipe
from rdsearch.tasks.splits import Split
from rdsearch.tasks.task import Task
from rdsearch.tasks.training.hooks import StepHook
from rdsearch.tasks.training.stepper import masked
from rdsearch.tasks.training.train import train
from rdsearch.tasks.weights.state import load_state


def retrain(
    network: nn.Module,
    task: Task,
    settings: RetrainRecipe,
    masks: Mapping[str, Tensor],
    *,
    seed: int,
    device: torch.device,
    first: Sequence[StepHook] = (),
) -> None:
    """Train the survivors of ``network`` in place; a task without a loss leaves them as they are.

    Optimiser and learning-rate schedule start anew, and everything random comes from ``seed``: what is left depends on
    the weights, the masks and the seed alone.

    Args:
        network: On ``device``.
        task: Its training part, loss and dense network; the validation part is looked at with ``patience`` alone.
        settings: The recipe's.
        masks: Survivors of each prunable weight.
        seed: Of order, augmentation and dropout.
        device: Where to compute.
        first: What else happens around each step, before all that the settings ask for.

    Raises:
        TaskError: The loss is no finite number, or the outputs are none that distillation can compare.
        TrialError: What is left is not finite.
    """
    if settings.rewind:
        load_state(network, task.dense_state())
    masked(network, masks)
    if settings.epochs > 0 and task.loss is not None:
        hooks = [*first, *_hooks(network, task, settings, device)]
        split: Split = Augmented(task.train, settings.augmentation) if settings.augmentation else task.train
        train(network, split, settings, seed=seed, device=device, masks=masks, loss=task.loss, hooks=hooks)
    require_finite(network, settings.lr, "retrain")


def _hooks(network: nn.Module, task: Task, settings: RetrainRecipe, device: torch.device) -> list[StepHook]:
    hooks = distillation_hooks(task, settings.distillation, device)
    if settings.patience is not None:
        hooks.append(BestEpoch(network, partial(task.score, device=device), settings.patience))
    return hooks


def distillation_hooks(task: Task, settings: DistillationSettings, device: torch.device) -> list[StepHook]:
    """The dense network as a teacher, where it has a share in the loss."""
    if settings.weight == 0:
        return []
    teacher = task.fresh_network()
    load_state(teacher, task.dense_state())
    return [Distillation(teacher.to(device), settings.weight, settings.temperature)]


def require_finite(network: nn.Module, lr: float, section: str) -> None:
    """Check what training has left.

    Raises:
        TrialError: A parameter or a statistic is NaN or infinite.
    """
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise TrialError(f"training has left NaN or infinite values in {name}: lower {section}.lr, now {lr:g}")
