"""Gates: a second number for each survivor, trained with it, that says whether it is needed."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from rdsearch.retraining.survivors import Survivors
from rdsearch.tasks.training.hooks import StepHook
from rdsearch.tasks.training.stepper import ADAM_SECOND_BETA

FIRST_BETA = 0.9
"""Of the gates' own Adam (Kingma & Ba 2015): their scale has nothing to do with that of the weights."""


class Gates(StepHook, ABC):
    """What kinds of gates have in common: one sample a step, closed gates to zeros at the end.

    The weights and gates of all layers are vectors of m entries.

    Args:
        survivors: The weights.
        price: Of an open gate, in units of the loss: the recipe's price divided by the number of examples.
        lr: The gates' learning rate at the start.
        weights_lr: The weights', at the start.
    """

    def __init__(self, survivors: Survivors, price: float, lr: float, weights_lr: float) -> None:
        self.survivors = survivors
        self.price = price
        self._ratio = lr / weights_lr
        self._own = survivors.values()
        self.gates = torch.nn.Parameter(self.initial(self._own))
        self._optimizer = torch.optim.Adam([self.gates], lr=lr, betas=(FIRST_BETA, ADAM_SECOND_BETA))

    @abstractmethod
    def initial(self, weights: Tensor) -> Tensor:
        """The gates' parameters at the start, nearly open: (m,)."""

    @abstractmethod
    def sample(self, weights: Tensor) -> Tensor:
        """Draw what the forward pass sees instead of the weights: (m,)."""

    @abstractmethod
    def gradients(self, weights: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of loss + price, by the weights and by the gates' parameters: twice (m,).

        Args:
            weights: Those that the last sample was drawn for.
            gradient: Of the loss, by that sample.
        """

    @abstractmethod
    def settled(self, weights: Tensor) -> Tensor:
        """The weights with what their gates have become: exact zeros where these have closed, (m,)."""

    def before_forward(self) -> None:
        """Put a sample in place of the weights."""
        self._own = self.survivors.values()
        self.survivors.put(self.sample(self._own))

    def after_backward(self) -> None:
        """Put the weights back, and turn the sample's gradient into theirs and the gates'."""
        self.survivors.put(self._own)
        by_weights, by_gates = self.gradients(self._own, self.survivors.gradients())
        self.survivors.put_gradients(by_weights)
        # In float16 a gradient may overflow; the weights' optimiser skips that step, and so do the gates.
        self.gates.grad = torch.nan_to_num(by_gates, nan=0.0, posinf=0.0, neginf=0.0)

    def after_step(self, lr: float) -> None:
        """Move the gates, at a rate in step with the weights'."""
        for group in self._optimizer.param_groups:
            group["lr"] = lr * self._ratio
        self._optimizer.step()

    def finish(self) -> None:
        """Leave zeros where gates have closed."""
        self.survivors.put(self.settled(self.survivors.values()))
