"""Curves that trials report into an Optuna study themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from rdsearch.search.study.curve.curves import Point, Scale

_PREFIX = "curve:"


def report_point(trial: Trial, step: int, values: Sequence[float], seconds: float = 1.0) -> None:
    """Say what a running trial has after a step; Optuna's own `Trial.report` takes one objective alone.

    Args:
        trial: The trial.
        step: Counted from 1.
        values: One a direction of the study, as the trial would be told if it ended here.
        seconds: What this step took, or its cost in any other unit, above 0.
    """
    trial.set_user_attr(f"{_PREFIX}{step}", [*map(float, values), float(seconds)])


class ReportedCurves:
    """The points that `report_point` has noted; a trial without any is a curve of one step, its values.

    Args:
        steps: Steps of a whole curve, or a function from a trial's parameters to them.
        patience: Steps in a row that are worth nothing after which the objective ends a trial, if it does.
        reference: Values that are worth nothing, one a direction; those of the worst points when not given.
        log: Whether the first objective counts by its logarithm (values above 0), as sizes do.
    """

    pinned: Mapping[str, Any] = {}

    def __init__(
        self,
        steps: int | Callable[[Mapping[str, Any]], int] = 1,
        *,
        patience: int | None = None,
        reference: Sequence[float] | None = None,
        log: bool = False,
    ) -> None:
        self._steps, self.patience, self._log = steps, patience, log
        self._reference = reference
        self._directions: list[StudyDirection] = []

    def points(self, study: Study, trial: FrozenTrial) -> Sequence[Point]:
        """A trial's curve."""
        self._directions = study.directions
        noted = {
            int(name.removeprefix(_PREFIX)): values
            for name, values in trial.user_attrs.items()
            if name.startswith(_PREFIX)
        }
        counts = all(value <= 0 for value in trial.constraints.values())
        if not noted and trial.state == TrialState.COMPLETE:
            noted = {self.length(trial.params): [*trial.values, 1.0]}
        points = []
        for step, (*values, seconds) in sorted(noted.items()):
            gain, quality = self._oriented(values)
            points.append(Point(step, gain, quality, seconds, counts))
        return points

    def length(self, parameters: Mapping[str, Any]) -> int:
        """Steps of the whole curve."""
        return self._steps(parameters) if callable(self._steps) else self._steps

    def positions(self, parameters: Mapping[str, Any], steps: np.ndarray) -> np.ndarray:
        """The share of the curve that is gone."""
        return steps / self.length(parameters)

    def scale(self, points: Sequence[Point]) -> Scale:
        """From the reference, or the worst points, to the best quality."""
        gains, qualities = ([getattr(point, name) for point in points] for name in ("gain", "quality"))
        if self._reference is None:
            origin, floor = (0.0 if len(self._directions) == 1 else min(gains)), min(qualities)
        else:
            origin, floor = self._oriented(self._reference)
            origin = 0.0 if len(self._directions) == 1 else origin
        return Scale(origin, floor, max(*qualities, floor + 1e-9 * max(1.0, abs(floor))))

    def _oriented(self, values: Sequence[float]) -> tuple[float, float]:
        """Gain and quality, more being better; all curves of a single objective have one gain, 1."""
        signs = [1.0 if direction == StudyDirection.MAXIMIZE else -1.0 for direction in self._directions]
        if len(values) == 1:
            return 1.0, signs[0] * values[0]
        first, second = values
        return signs[0] * (math.log2(first) if self._log else first), signs[1] * second
