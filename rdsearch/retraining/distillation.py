"""Distillation: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rdsearch.base.device import arrange
from rdsearch.base.network.inputs import forward
from rdsearch.base.network.outputs import main_output
from rdsearch.errors import TaskError
from rdsearch.tasks.training.hooks import StepHook


class Distillation(StepHook):
    """(1 - weight) * loss + weight * temperature² * KL(teacher || student), of softened outputs.

    Args:
        teacher: The dense network, in eval mode on the device.
        weight: The teacher's share.
        temperature: Softens both.
    """

    def __init__(self, teacher: nn.Module, weight: float, temperature: float) -> None:
        self._teacher = teacher
        self._weight = weight
        self._temperature = temperature
        self._arranged = False

    def objective(self, inputs: Any, output: Any, targets: Tensor, loss: Tensor) -> Tensor:
        """The mixed loss.

        Raises:
            TaskError: The outputs are no logits of classes.
        """
        output = main_output(output)
        _check_logits(output, targets)
        if not self._arranged:
            arrange(self._teacher, inputs)
            self._arranged = True
        with torch.no_grad():
            wanted = main_output(forward(self._teacher, inputs))
        student, teacher = (F.log_softmax(logits.float() / self._temperature, dim=1) for logits in (output, wanted))
        divergence = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
        return (1 - self._weight) * loss + self._weight * self._temperature**2 * divergence


def _check_logits(output: Any, targets: Tensor) -> None:
    if isinstance(output, Tensor):
        logits = output.ndim == 2 and output.is_floating_point() and output.shape[1] > 1
        if logits and targets.shape == output.shape[:1] and not targets.is_floating_point():
            return
        seen = f"outputs of shape {tuple(output.shape)} and targets of shape {tuple(targets.shape)}, {targets.dtype}"
    else:
        seen = f"outputs that are a {type(output).__name__}"
    raise TaskError(
        f"retrain.distillation compares logits of classes: outputs (examples, classes) and whole numbers as targets "
        f"(examples,) are needed, and this network has {seen}. Leave distillation out (weight: 0)."
    )
