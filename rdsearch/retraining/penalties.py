"""Penalties on magnitudes: their slopes, and the step that applies them.

A penalty is applied beside the optimiser's step, as decoupled weight decay is (Loshchilov & Hutter 2019), and not by
the loss's gradient, which Adam would rescale. For a slope s the weight w becomes sign(w) max(|w| - lr weight s(w), 0):
the proximal step of the l1 norm reweighted by s, which is how Candès, Wakin & Boyd (2008) minimise the log-sum.
Weights therefore reach zero exactly, and pruning takes those first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from rdsearch.retraining.survivors import Survivors
from rdsearch.tasks.hooks import StepHook

Slope: TypeAlias = Callable[[Tensor], Tensor]
"""From magnitudes in root mean squares of their layer to the penalty's derivative there, 1 at zero."""

WIDTH = 0.1
"""Magnitude, in root mean squares, at which the slope of ``log_sum`` is half and that of ``funnel`` a quarter."""


def l1(magnitudes: Tensor) -> Tensor:
    """Slope of |w|: the same for all (Tibshirani 1996)."""
    return torch.ones_like(magnitudes)


def log_sum(magnitudes: Tensor) -> Tensor:
    """Slope of log(1 + |w| / WIDTH), which spares large weights (Candès, Wakin & Boyd 2008, section 2.3)."""
    return WIDTH / (WIDTH + magnitudes)


def funnel(magnitudes: Tensor) -> Tensor:
    """Slope of |w| / (|w| + WIDTH), flat but for a funnel around zero (Geman & Reynolds 1992, with q = 1)."""
    return (WIDTH / (WIDTH + magnitudes)).square()


class Penalty(StepHook):
    """Shrinks every survivor after every step.

    Args:
        survivors: The weights; the unit of a layer's is taken here, once.
        slope: Which penalty.
        weight: Shrinkage near zero, in units and for a learning rate of 1.
    """

    def __init__(self, survivors: Survivors, slope: Slope, weight: float) -> None:
        self._survivors = survivors
        self._slope = slope
        self._weight = weight
        self._units = survivors.root_mean_squares()

    def after_step(self, lr: float) -> None:
        """Shrink in proportion to the learning rate."""
        values = self._survivors.values()
        magnitudes = values.abs()
        shrinkage = lr * self._weight * self._units * self._slope(magnitudes / self._units)
        self._survivors.put(values.sign() * (magnitudes - shrinkage).clamp_(min=0.0))
