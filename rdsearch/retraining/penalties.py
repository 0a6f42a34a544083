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
from rdsearch.tasks.training.hooks import StepHook

Slope: TypeAlias = Callable[[Tensor], Tensor]
"""From a layer's magnitudes in root mean squares of its survivors, (out, in, ...), pruned weights 0, to the pull on
each, of the same shape: the penalty's derivative, 1 at zero."""

WIDTH = 0.1
"""Magnitude, in root mean squares, at which the slope of ``log_sum`` is half and that of ``funnel`` a quarter; the
expected magnitude at which that of ``grouped`` is half."""


def l1(magnitudes: Tensor) -> Tensor:
    """Slope of |w|: the same for all (Tibshirani 1996)."""
    return torch.ones_like(magnitudes)


def log_sum(magnitudes: Tensor) -> Tensor:
    """Slope of log(1 + |w| / WIDTH), which spares large weights (Candès, Wakin & Boyd 2008, section 2.3)."""
    return WIDTH / (WIDTH + magnitudes)


def funnel(magnitudes: Tensor) -> Tensor:
    """Slope of |w| / (|w| + WIDTH), flat but for a funnel around zero (Geman & Reynolds 1992, with q = 1)."""
    return (WIDTH / (WIDTH + magnitudes)).square()


def grouped(magnitudes: Tensor) -> Tensor:
    """The pull of ``log_sum`` at the magnitude that a weight's row and column let expect, whatever its own.

    Expected is the product of the root mean squares of the row (an output) and of the column (an input), each over
    the tensor's. That is how the entropy coder expects it, to whom a weight in an empty row and column costs most:
    such weights go first, and whole rows and columns with them. A reweighted group lasso (Yuan & Lin 2006) on both at
    once.
    """
    squares = magnitudes.square().flatten(2) if magnitudes.dim() > 2 else magnitudes.square().unsqueeze(2)
    mean = squares.mean().clamp(min=torch.finfo(squares.dtype).tiny)
    rows, columns = (squares.mean(axes, keepdim=True).div(mean).sqrt() for axes in ((1, 2), (0, 2)))
    expected = rows * columns
    return log_sum(expected.reshape(*magnitudes.shape[:2], *[1] * (magnitudes.dim() - 2))).expand_as(magnitudes)


class Penalty(StepHook):
    """Shrinks every survivor after every step.

    The unit is what is left of a layer now, so that the pull keeps pace with a round that prunes while it trains.

    Args:
        survivors: The weights.
        slope: Which penalty.
        weight: Shrinkage near zero, in units and for a learning rate of 1.
    """

    def __init__(self, survivors: Survivors, slope: Slope, weight: float) -> None:
        self._survivors = survivors
        self._slope = slope
        self._weight = weight

    def after_step(self, lr: float) -> None:
        """Shrink in proportion to the learning rate."""
        for layer in self._survivors.layers:
            weight = layer.weight.detach()
            magnitudes = weight.abs() * layer.alive
            unit = _root_mean_square(magnitudes)
            shrinkage = lr * self._weight * unit * self._slope(magnitudes / unit) * layer.alive
            weight.copy_(weight.sign() * (weight.abs() - shrinkage).clamp_(min=0.0))


def _root_mean_square(magnitudes: Tensor) -> Tensor:
    """Of those that are not zero, above 0: a scalar."""
    mean = magnitudes.square().sum() / torch.count_nonzero(magnitudes).clamp(min=1)
    return mean.sqrt().clamp(min=torch.finfo(magnitudes.dtype).tiny)
