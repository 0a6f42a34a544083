"""What is believed of curves: gains by a ridge, qualities by a Gaussian process, seconds by another ridge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rdsearch.search.study.curve.process import Kernel, Process

_GAIN_RIDGE, _SECONDS_RIDGE = 0.03, 0.01


@dataclass(frozen=True)
class Observations:
    """Points of curves, one a row.

    Attributes:
        inputs: (n, columns): recipes with the position on their way as the last of the numbers, see `inputs_of`.
        numbers: Leading columns that are numbers.
        gains: (n,).
        latents: (n,), qualities as `Scale.latent` has them.
        seconds: (n,), above 0.
        first: (n,), whether it is its trial's first step.
    """

    inputs: np.ndarray
    numbers: int
    gains: np.ndarray
    latents: np.ndarray
    seconds: np.ndarray
    first: np.ndarray


def inputs_of(rows: np.ndarray, positions: np.ndarray, numbers: int) -> np.ndarray:
    """Recipes (C, columns) at positions (C, R): (C, R, columns + 1), the position behind the ``numbers``."""
    spread = np.broadcast_to(rows[:, None, :], (*positions.shape, rows.shape[1]))
    return np.concatenate([spread[..., :numbers], positions[..., None], spread[..., numbers:]], axis=-1)


class Surrogate:
    """A fit of all three.

    Args:
        known: What was observed.
        kernel: Of the Gaussian process.
    """

    def __init__(self, known: Observations, kernel: Kernel) -> None:
        self._numbers = known.numbers
        self._levels = [np.unique(column) for column in known.inputs[:, known.numbers :].T]
        self._gain = _ridge(self._curved(known.inputs), known.gains, _GAIN_RIDGE)
        plain = np.column_stack([self._plain(known.inputs), known.first])
        self._log_seconds = _ridge(plain, np.log(known.seconds), _SECONDS_RIDGE)
        self.quality = Process(kernel, known.inputs, known.latents)

    def gains(self, inputs: np.ndarray) -> np.ndarray:
        """Predicted gains (C, R) at inputs (C, R, columns)."""
        values: np.ndarray = self._curved(inputs) @ self._gain
        return values

    def seconds(self, inputs: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Predicted seconds (C, R) of single steps at inputs (C, R, columns), ``steps`` (C, R) counted from 1."""
        values: np.ndarray = np.exp(
            np.concatenate([self._plain(inputs), (steps == 1)[..., None]], -1) @ self._log_seconds
        )
        return values

    def _curved(self, inputs: np.ndarray) -> np.ndarray:
        numbers = inputs[..., : self._numbers]
        one, other = np.triu_indices(self._numbers)
        return np.concatenate([self._offsets(inputs), numbers, numbers[..., one] * numbers[..., other]], axis=-1)

    def _plain(self, inputs: np.ndarray) -> np.ndarray:
        # Not the position: a step takes as long wherever it stands, but for the first one, which starts things up.
        return np.concatenate([self._offsets(inputs), inputs[..., : self._numbers - 1]], axis=-1)

    def _offsets(self, inputs: np.ndarray) -> np.ndarray:
        columns = [np.ones((*inputs.shape[:-1], 1))]
        for column, levels in enumerate(self._levels, start=self._numbers):
            columns.append((inputs[..., column, None] == levels).astype(float))
        return np.concatenate(columns, axis=-1)


def _ridge(features: np.ndarray, targets: np.ndarray, weight: float) -> np.ndarray:
    solved: np.ndarray = np.linalg.solve(
        features.T @ features + weight * np.eye(features.shape[1]), features.T @ targets
    )
    return solved
