"""Gaussian process regression with numbers and choices as inputs (Rasmussen and Williams 2006, chapters 2 and 5)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize

_JITTER = 1e-6
_SQRT5 = math.sqrt(5.0)
_USUAL_DIMENSIONS = 5
_EVALUATIONS = 40
"""Of the likelihood, at most; the last ones change a proposal as little as another draw would."""


@dataclass(frozen=True)
class Kernel:
    """Matérn 5/2 over the numbers, one length scale each, times one factor for each choice that differs.

    Attributes:
        numbers: Leading columns that are numbers, in units of their range; all others are choices.
        log: (columns + 2,) logarithms: length scales, one rate a choice, signal variance, noise variance.
    """

    numbers: int
    log: np.ndarray

    def __call__(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Covariances (..., n, m) of inputs (..., n, columns) and (..., m, columns), without the noise."""
        scaled, others = (each[..., : self.numbers] / np.exp(self.log[: self.numbers]) for each in (one, other))
        squares = (scaled**2).sum(-1)[..., :, None] + (others**2).sum(-1)[..., None, :]
        distance = np.sqrt(5.0 * np.maximum(squares - 2.0 * scaled @ others.swapaxes(-1, -2), 0.0))
        exponent = -distance
        for column in range(self.numbers, one.shape[-1]):
            differ = one[..., :, None, column] != other[..., None, :, column]
            exponent = exponent - math.exp(self.log[column]) * differ
        values: np.ndarray = self.signal * (1.0 + distance + distance**2 / 3.0) * np.exp(exponent)
        return values

    @property
    def signal(self) -> float:
        """Variance of the function."""
        return math.exp(self.log[-2])

    @property
    def noise(self) -> float:
        """Variance of an observation of it."""
        return math.exp(self.log[-1]) + _JITTER


def prior(numbers: int, choices: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of a kernel's logarithms.

    Length scales are held near those of a usual function: few points that happen to lie alike would else make it flat,
    and the process sure of it. They grow with the root of the dimensions, so that a function of many of them is not
    taken for a rougher one (Hvarfner, Hellsten and Nardi 2024, "Vanilla Bayesian optimization performs great in high
    dimensions").
    """
    scale = math.log(0.8) + 0.5 * math.log(max(numbers, _USUAL_DIMENSIONS) / _USUAL_DIMENSIONS)
    mean = np.array([scale] * numbers + [math.log(0.5)] * choices + [0.0, math.log(0.05)])
    return mean, np.array([0.5] * numbers + [1.0] * choices + [1.5, 1.5])


def fit_kernel(inputs: np.ndarray, targets: np.ndarray, numbers: int) -> Kernel:
    """The kernel of the greatest posterior density, by L-BFGS with exact gradients.

    Args:
        inputs: (n, columns) float64.
        targets: (n,) float64, of mean 0 and variance 1.
        numbers: Leading columns that are numbers.
    """
    count, columns = inputs.shape
    mean, width = prior(numbers, columns - numbers)
    squares = (inputs[:, None, :numbers] - inputs[None, :, :numbers]).transpose(2, 0, 1) ** 2
    differ = (inputs[:, None, numbers:] != inputs[None, :, numbers:]).transpose(2, 0, 1)

    def loss(log: np.ndarray) -> tuple[float, np.ndarray]:
        kernel = Kernel(numbers, log)
        rates = np.exp(log[numbers:columns])
        scaled = squares / np.exp(2 * log[:numbers])[:, None, None]
        distance = np.sqrt(5.0 * scaled.sum(0))
        shared = kernel.signal * np.exp(-distance - np.tensordot(rates, differ, 1))
        values = (1.0 + distance + distance**2 / 3.0) * shared
        factor = np.linalg.cholesky(values + kernel.noise * np.eye(count))
        inverse = cho_solve((factor, True), np.eye(count))
        weights = inverse @ targets
        slope = 0.5 * (inverse - np.outer(weights, weights))
        lengths = (scaled * (slope * shared * (5.0 / 3.0) * (1.0 + distance))).sum((1, 2))
        choices = -rates * (differ * (slope * values)).sum((1, 2))
        ends = [(slope * values).sum(), math.exp(log[-1]) * np.trace(slope)]
        away = (log - mean) / width
        value = 0.5 * targets @ weights + np.log(np.diagonal(factor)).sum() + 0.5 * away @ away
        return float(value), np.concatenate([lengths, choices, ends]) + away / width

    found = minimize(
        loss, mean, jac=True, method="L-BFGS-B", bounds=[(-5.0, 4.0)] * len(mean), options={"maxfun": _EVALUATIONS}
    )
    return Kernel(numbers, found.x)


class Process:
    """A function given noisy observations of it.

    Args:
        kernel: Its covariances.
        inputs: (n, columns) float64.
        targets: (n,) float64.
    """

    def __init__(self, kernel: Kernel, inputs: np.ndarray, targets: np.ndarray) -> None:
        self._kernel, self._inputs = kernel, inputs
        self._mean, self._scale = float(targets.mean()), max(float(targets.std()), 1e-6)
        covariance = kernel(inputs, inputs) + kernel.noise * np.eye(len(inputs))
        self._factor = np.linalg.cholesky(covariance)
        self._weights = cho_solve((self._factor, True), (targets - self._mean) / self._scale)

    def mean(self, inputs: np.ndarray) -> np.ndarray:
        """The function's posterior mean (...) at inputs (..., columns)."""
        values: np.ndarray = self._kernel(inputs.reshape(-1, inputs.shape[-1]), self._inputs) @ self._weights
        return self._mean + self._scale * values.reshape(inputs.shape[:-1])

    def draw(self, inputs: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Draws of the function along many curves, joint along each of them.

        Args:
            inputs: (C, R, columns), C curves of R inputs.
            normals: (S, R), independent standard normal numbers; all curves share them.

        Returns:
            (S, C, R) float64.
        """
        curves, length, columns = inputs.shape
        cross = self._kernel(self._inputs, inputs.reshape(-1, columns))
        mean = (cross.T @ self._weights).reshape(curves, length)
        half = solve_triangular(self._factor, cross, lower=True, check_finite=False).reshape(-1, curves, length)
        explained = half.transpose(1, 2, 0) @ half.transpose(1, 0, 2)
        covariance = self._kernel(inputs, inputs) - explained
        factor = np.linalg.cholesky(covariance + (1e-5 * self._kernel.signal + _JITTER) * np.eye(length))
        drawn: np.ndarray = self._mean + self._scale * (mean + np.einsum("crq,sq->scr", factor, normals))
        return drawn

    def deviation(self, inputs: np.ndarray) -> np.ndarray:
        """The function's posterior standard deviation (n,) at inputs (n, columns)."""
        half = solve_triangular(self._factor, self._kernel(self._inputs, inputs), lower=True, check_finite=False)
        deviation: np.ndarray = self._scale * np.sqrt(np.maximum(self._kernel.signal - (half**2).sum(0), _JITTER))
        return deviation
