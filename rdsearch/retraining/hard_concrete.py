"""Hard-concrete gates (Louizos, Welling & Kingma 2018, "Learning sparse neural networks through L0 regularization")."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rdsearch.retraining.gates import Gates

TEMPERATURE = 2 / 3
LOW, HIGH = -0.1, 1.1
"""Of the stretched interval (the paper's beta, gamma and zeta; section 4)."""

INITIAL_LOGIT = 2.2
"""A gate starts at 0.98, and sampled below 1 about half of the time."""

SMALLEST_DRAW = 1e-6
_OPEN_SHIFT = -TEMPERATURE * math.log(-LOW / HIGH)


class HardConcrete(Gates):
    """Weights times gates in [0, 1] with a logit each; the price is the expected number of gates that are not zero."""

    def initial(self, weights: Tensor) -> Tensor:
        """The same logit for every gate."""
        return torch.full_like(weights, INITIAL_LOGIT)

    def sample(self, weights: Tensor) -> Tensor:
        """Weights times gates drawn by equation 10; the derivative of the gates by their logits is kept."""
        draw = torch.rand_like(weights).clamp_(SMALLEST_DRAW, 1 - SMALLEST_DRAW)
        soft = torch.sigmoid((torch.logit(draw) + self.gates.detach()) / TEMPERATURE)
        stretched = soft * (HIGH - LOW) + LOW
        inside = (stretched > 0) & (stretched < 1)
        self._drawn = stretched.clamp(0, 1)
        self._slope = inside * (HIGH - LOW) * soft * (1 - soft) / TEMPERATURE
        return weights * self._drawn

    def gradients(self, weights: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """By the chain rule, and the price by equation 12."""
        opened = torch.sigmoid(self.gates.detach() + _OPEN_SHIFT)
        return gradient * self._drawn, gradient * weights * self._slope + self.price * opened * (1 - opened)

    def settled(self, weights: Tensor) -> Tensor:
        """Weights times the gates of equation 13, which draws nothing."""
        return weights * (torch.sigmoid(self.gates.detach()) * (HIGH - LOW) + LOW).clamp(0, 1)
