"""One step of training: forward, backward, masks, optimiser, learning rate."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rdsearch.base.device import arrange
from rdsearch.base.network.inputs import forward
from rdsearch.base.network.outputs import main_output, own_loss
from rdsearch.errors import TaskError
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.splits import Batch
from rdsearch.tasks.training.hooks import StepHook

Loss = Callable[[Tensor, Tensor], Tensor]
"""From the network's output and the targets of a batch to the scalar that is minimised."""

Held = list[tuple[nn.Parameter, Tensor]]
"""Parameters with their masks, in the parameter's dtype and on its device."""

ADAM_SECOND_BETA = 0.999
"""Kingma & Ba (2015)."""

STEPS_AT, STEP_FACTOR = (0.5, 0.75), 0.1
"""Where schedule ``step`` lowers the learning rate, as shares of the training, and by how much: He et al. (2016)."""


def hold(network: nn.Module, masks: Mapping[str, Tensor] | None) -> Held:
    """Set masked weights to zero, and say which of them are to stay so.

    Args:
        network: Changed in place.
        masks: Parameter name to a boolean tensor of its shape.

    Raises:
        TaskError: A mask that fits no parameter.
    """
    return [(parameter, mask.to(dtype=parameter.dtype)) for parameter, mask in masked(network, masks)]


def masked(network: nn.Module, masks: Mapping[str, Tensor] | None) -> list[tuple[nn.Parameter, Tensor]]:
    """Set masked weights to zero; the parameters where there are such, with their masks. Arguments as for `hold`."""
    parameters = dict(network.named_parameters(remove_duplicate=False))
    found = []
    for name, mask in (masks or {}).items():
        if name not in parameters:
            raise TaskError(f"a mask for {name!r}, but the network's parameters are {', '.join(parameters)}")
        parameter = parameters[name]
        if parameter.shape != mask.shape:
            raise TaskError(
                f"the mask of {name!r} has shape {tuple(mask.shape)}, the parameter {tuple(parameter.shape)}"
            )
        alive = mask.to(parameter.device)
        if alive.all():
            continue
        with torch.no_grad():
            # Not a product: a weight that is not finite has to go as well, and zeros should carry no sign.
            parameter.masked_fill_(~alive, 0.0)
        found.append((parameter, alive))
    return found


class Stepper:
    """A network in training, and everything that changes with each step.

    Args:
        network: In training mode, on ``device``.
        config: Optimiser and learning rate.
        steps: How many there will be, for the schedule.
        held: From :func:`hold`.
        loss: What is minimised.
        device: Where the network is.
        hooks: Called around each step, in order.
    """

    def __init__(
        self,
        network: nn.Module,
        config: TrainingConfig,
        steps: int,
        held: Held,
        loss: Loss,
        device: torch.device,
        hooks: Sequence[StepHook] = (),
    ) -> None:
        self.network = network
        self.device = device
        self._arranged = False
        self._held = list(held)
        self._loss = loss
        self._hooks = hooks
        self._optimizer = _optimizer(network, config)
        self._scheduler = torch.optim.lr_scheduler.LambdaLR(self._optimizer, _decay(config, steps))
        self._half: torch.dtype | None = None
        if device.type == "cuda":
            self._half = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        self._scaler = torch.amp.GradScaler(device.type, enabled=self._half is torch.float16)

    def step(self, batch: Batch) -> Tensor:
        """Learn from one batch; its loss, a scalar on the device."""
        inputs, targets = batch
        if not self._arranged:
            arrange(self.network, inputs)
            self._arranged = True
        self._optimizer.zero_grad(set_to_none=True)
        for hook in self._hooks:
            hook.before_forward()
        with self._precision():
            output = forward(self.network, inputs)
            value = _loss_of(self._loss, output, targets)
            for hook in self._hooks:
                value = hook.objective(inputs, output, targets, value)
        self._scaler.scale(value).backward()  # type: ignore[no-untyped-call]
        # A masked weight that starts at zero and never sees a gradient stays exactly zero, and so does its
        # momentum: weight decay shrinks zero to zero.
        self._mask_gradients()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        rate = float(self._scheduler.get_last_lr()[0])
        self._scheduler.step()
        for hook in self._hooks:
            hook.after_step(rate)
        return value.detach()

    def _mask_gradients(self) -> None:
        """Set the gradients of masked weights to zero, in a few kernels for all layers."""
        gradients, masks = [], []
        for place, (parameter, mask) in enumerate(self._held):
            gradient = parameter.grad
            if gradient is None:
                continue
            if mask.stride() != gradient.stride():  # they would be multiplied layer by layer
                self._held[place] = parameter, torch.empty_like(gradient).copy_(mask)
            gradients.append(gradient)
            masks.append(self._held[place][1])
        if gradients:
            torch._foreach_mul_(gradients, masks)

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])
        self._scaler.load_state_dict(state["scaler"])

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        if self._half is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self._half)


def _loss_of(loss: Loss, output: Any, targets: Any) -> Tensor:
    """What is minimised; a loss of torch's own takes a tensor, and one that a user wrote whatever the network returns.

    Raises:
        TaskError: The network returns several tensors, and it is not clear which one counts.
    """
    if isinstance(output, Tensor) or not getattr(loss, "__module__", "").startswith(("torch.", "rdsearch.")):
        return loss(output, targets)
    given = own_loss(output) if getattr(loss, "__name__", "") == "cross_entropy" else None
    return loss(main_output(output), targets) if given is None else given


def _optimizer(network: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    # Biases and the scales of normalisation layers are not decayed, as is usual.
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1]},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=config.lr,
            momentum=config.momentum,
            nesterov=config.momentum > 0,
            weight_decay=config.weight_decay,
            fused=True,
        )
    betas = (config.momentum, ADAM_SECOND_BETA)
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=config.lr, betas=betas, weight_decay=config.weight_decay, fused=True)


def _decay(config: TrainingConfig, steps: int) -> Callable[[int], float]:
    """Factor of the learning rate at each step; the cosine is Loshchilov & Hutter's (2017), no restarts."""
    if config.schedule == "constant":
        return lambda _: 1.0
    if config.schedule == "step":
        return lambda step: STEP_FACTOR ** sum(step >= share * steps for share in STEPS_AT)
    return lambda step: 0.5 * (1.0 + math.cos(math.pi * min(step, steps) / steps))
