"""What the sampler has to know of an objective: the curves of its trials, and the scale of their points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial

_FINE = 3.0
"""Qualities are told apart in proportion from this share of the allowed loss on, 1 / 3, and by logarithms beyond."""


@dataclass(frozen=True, slots=True)
class Point:
    """What a trial had after a step.

    Attributes:
        step: Counted from 1.
        gain: The objective that a curve moves along, more being better: octaves of compression in a search here.
        quality: The objective that falls, or rises, on the way, more being better: an accuracy.
        seconds: What the step took.
        counts: Whether it keeps the constraints, and so may be on the front.
    """

    step: int
    gain: float
    quality: float
    seconds: float = 1.0
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Scale:
    """Where points begin to be worth something.

    Attributes:
        origin: The gain that is worth nothing.
        floor: The quality that is worth nothing.
        ideal: The quality that is hoped for, above ``floor``: qualities are seen finely from here down to ``floor``.
        least_gain: Points below it break a constraint.
    """

    origin: float
    floor: float
    ideal: float
    least_gain: float = -math.inf

    def latent(self, quality: np.ndarray) -> np.ndarray:
        """Qualities as the surrogate sees them: nearly linear down to the floor, logarithmic far below."""
        seen: np.ndarray = -np.arcsinh((self.ideal - quality) / self._unit)
        return seen

    def quality(self, latent: np.ndarray) -> np.ndarray:
        """The inverse of `latent`; what lies beyond any sense is cut off."""
        quality: np.ndarray = self.ideal - np.sinh(np.clip(-latent, -9.0, 9.0)) * self._unit
        return quality

    @property
    def _unit(self) -> float:
        return max(self.ideal - self.floor, 1e-12) / _FINE


class Curves(Protocol):
    """Reads the trials of a study as curves.

    Attributes:
        pinned: Parameters that are always proposed at a value, and are not learnt from: the length of a curve whose
            every prefix is a point as well.
        patience: Steps in a row below the floor after which a trial ends; ``None`` where it never does.
    """

    pinned: Mapping[str, Any]
    patience: int | None

    def points(self, study: Study, trial: FrozenTrial) -> Sequence[Point]:
        """A trial's curve as far as it is known."""

    def length(self, parameters: Mapping[str, Any]) -> int:
        """Steps of the whole curve of a recipe."""

    def positions(self, parameters: Mapping[str, Any], steps: np.ndarray) -> np.ndarray:
        """Where on its way a recipe is after some steps, about in [0, 1]; equal positions are alike."""

    def scale(self, points: Sequence[Point]) -> Scale:
        """The scale, given all points that are known; there is one at least."""
