"""The float network as the teacher, for tasks that bring neither a loss that fits nor labels."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rdsearch.base.device import arrange
from rdsearch.base.network.inputs import forward
from rdsearch.base.network.outputs import tensors_of
from rdsearch.tasks.task import Task
from rdsearch.tasks.training.hooks import StepHook
from rdsearch.tasks.weights.state import load_state

_CLASS_AXES = 2


class Teacher(StepHook):
    """What the float network says of the inputs is what is to be learnt.

    Logits of classes are compared by KL(teacher || student), all other outputs by the squared error over the teacher's
    mean square.

    Args:
        teacher: The float network, in eval mode on the device.
        classes: Whether its outputs are logits of classes.
    """

    def __init__(self, teacher: nn.Module, classes: bool) -> None:
        self._teacher = teacher
        self._classes = classes
        self._arranged = False

    def objective(self, inputs: Any, output: Any, targets: Tensor, loss: Tensor) -> Tensor:
        """How far the outputs are from the teacher's: a scalar; the targets and the loss are not looked at."""
        if not self._arranged:
            arrange(self._teacher, inputs)
            self._arranged = True
        with torch.no_grad():
            wanted = list(tensors_of(forward(self._teacher, inputs)))
        pairs = [
            (mine.float(), theirs.float())
            for mine, theirs in zip(tensors_of(output), wanted, strict=True)
            if mine.is_floating_point()
        ]
        return torch.stack([self._distance(mine, theirs) for mine, theirs in pairs]).sum()

    def _distance(self, mine: Tensor, theirs: Tensor) -> Tensor:
        if self._classes and mine.dim() == _CLASS_AXES:
            student, teacher = F.log_softmax(mine, dim=1), F.log_softmax(theirs, dim=1)
            return F.kl_div(student, teacher, reduction="batchmean", log_target=True)
        scale = theirs.square().mean().clamp_min(torch.finfo(torch.float32).tiny)
        return F.mse_loss(mine, theirs) / scale


def teacher_of(task: Task, device: torch.device) -> Teacher:
    """The task's float network."""
    teacher = task.fresh_network()
    load_state(teacher, task.dense_state())
    return Teacher(teacher.to(device), task.is_accuracy)


def nothing(output: Any, targets: Any) -> Tensor:
    """The loss of a task that has none: a scalar zero."""
    return next(tensors_of(output)).new_zeros(())
