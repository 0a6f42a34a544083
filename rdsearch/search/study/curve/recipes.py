"""The curves of a search here: a trial's rounds, their octaves of compression and their accuracies."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from rdsearch.config.searchfile import SearchConfig
from rdsearch.config.space import RecipeSpace
from rdsearch.points.point import OperatingPoint
from rdsearch.pruning.schedules import prefix_consistent, survivors_after
from rdsearch.search.study.constraints import feasible, reference_accuracy
from rdsearch.search.study.curve.curves import Point, Scale
from rdsearch.search.study.observations import ROUNDS

_SCHEDULE, _RATE, _FINAL = "pruning.schedule", "pruning.rate", "pruning.final_sparsity"
_WEIGHTS = 10**6
"""Any number of weights will do to see which share is left."""


class RoundCurves:
    """A search's trials as curves.

    Where a longer trial goes through the rounds of a shorter one, it is proposed alone.

    Args:
        config: Constraints and patience.
        space: The search space.
        points: The points of a trial, as far as it has come.
    """

    def __init__(
        self, config: SearchConfig, space: RecipeSpace, points: Callable[[FrozenTrial], Sequence[OperatingPoint]]
    ) -> None:
        self.patience = config.patience
        self._constraints = config.constraints
        self._points = points
        self._ended: dict[int, Sequence[Point]] = {}
        self._baseline = (math.nan, math.nan, math.nan)
        domains = space.parameters
        probe = space.recipe({name: domain.probes()[-1] for name, domain in domains.items()}).pruning
        self._fixed: dict[str, Any] = {
            _SCHEDULE: probe.schedule,
            ROUNDS: probe.rounds,
            _RATE: probe.rate,
            _FINAL: probe.final_sparsity,
        }
        whole = ROUNDS in domains and _SCHEDULE not in domains and prefix_consistent(probe.schedule)
        self.pinned: Mapping[str, Any] = {ROUNDS: domains[ROUNDS].at(1.0)} if whole else {}
        ends = [domains[name].probes() if name in domains else (self._fixed[name],) for name in (_RATE, _FINAL)]
        longest = np.array([float(self._fixed[ROUNDS])])
        self._longest = 1e-3
        for rate, final in itertools.product(*ends):
            self._longest = max(self._longest, float(self._octaves({_RATE: rate, _FINAL: final}, longest)[0]))

    def points(self, study: Study, trial: FrozenTrial) -> Sequence[Point]:
        """A trial's curve; that of an ended one is read once."""
        if trial.number in self._ended:
            return self._ended[trial.number]
        found = [self._point(point) for point in self._points(trial)]
        if trial.state != TrialState.RUNNING:
            self._ended[trial.number] = found
        return found

    def length(self, parameters: Mapping[str, Any]) -> int:
        """Rounds of the recipe."""
        return int(parameters.get(ROUNDS, self._fixed[ROUNDS]))

    def positions(self, parameters: Mapping[str, Any], steps: np.ndarray) -> np.ndarray:
        """Octaves of weights that are gone, as a share of the most that any recipe takes away."""
        positions: np.ndarray = self._octaves(parameters, steps) / self._longest
        return positions

    def scale(self, points: Sequence[Point]) -> Scale:
        """From the accuracy constraint to the dense network's accuracy."""
        accuracy, size, weights = self._baseline
        largest = [self._constraints["size_bytes"]] if "size_bytes" in self._constraints else []
        if "rate_bits_per_weight" in self._constraints:
            largest.append(self._constraints["rate_bits_per_weight"] * weights / 8)
        least = [math.log2(size / max(bound, 1e-9)) for bound in largest]
        if "compression_ratio" in self._constraints:
            least.append(math.log2(max(self._constraints["compression_ratio"], 1e-9)))
        floor = reference_accuracy(accuracy, self._constraints)
        return Scale(0.0, floor, max(accuracy, floor + 1e-6), max(least, default=-math.inf))

    def scale_of(self, point: OperatingPoint) -> Scale:
        """The scale, by any point of the search."""
        self._point(point)
        return self.scale([])

    def _point(self, point: OperatingPoint) -> Point:
        if math.isnan(self._baseline[0]):
            weights = 8 * point.size_bytes / point.rate_bits_per_weight if point.rate_bits_per_weight else 1.0
            size = point.size_bytes * point.compression_ratio
            self._baseline = (point.val_accuracy + point.accuracy_drop, size, weights)
        octaves = math.log2(point.compression_ratio)
        return Point(point.round, octaves, point.val_accuracy, point.seconds, feasible(point, self._constraints))

    def _octaves(self, parameters: Mapping[str, Any], steps: np.ndarray) -> np.ndarray:
        settings = {name: parameters.get(name, value) for name, value in self._fixed.items()}
        left = [
            survivors_after(
                _WEIGHTS,
                int(step),
                schedule=settings[_SCHEDULE],
                rounds=settings[ROUNDS],
                rate=settings[_RATE],
                final_sparsity=settings[_FINAL],
            )
            for step in steps
        ]
        octaves: np.ndarray = -np.log2(np.array(left) / _WEIGHTS)
        return octaves
