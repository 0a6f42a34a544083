"""Bounds on measured columns: what lies beyond them steers the sampler and stays off the front."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rdsearch.config.searchfile import AT_MOST
from rdsearch.points.point import OperatingPoint

# Accuracies are counts over counts, and 0.99 - 0.98 is 9e-18 more than 0.01: a bound is not broken by rounding.
_TOLERANCE = 1e-9
_ACCURACIES = ("accuracy_drop", "val_accuracy")


def violations(point: OperatingPoint, constraints: Mapping[str, float]) -> dict[str, float]:
    """How far a point lies beyond each bound, in the column's own unit; 0 or less where it keeps it."""
    return {
        name: (getattr(point, name) - bound if name in AT_MOST else bound - getattr(point, name)) - _TOLERANCE
        for name, bound in constraints.items()
    }


def feasible(point: OperatingPoint, constraints: Mapping[str, float]) -> bool:
    """Whether a point keeps every bound."""
    return all(value <= 0 for value in violations(point, constraints).values())


def past_hope(points: Sequence[OperatingPoint], constraints: Mapping[str, float], patience: int | None) -> bool:
    """Whether a trial's last ``patience`` rounds all lie past the bounds on accuracy; never when it is ``None``."""
    bounds = {name: bound for name, bound in constraints.items() if name in _ACCURACIES}
    if patience is None or len(points) < patience:
        return False
    return not any(feasible(point, bounds) for point in points[-patience:])


def nearest_misses(
    points: Iterable[OperatingPoint], constraints: Mapping[str, float], count: int = 3
) -> list[OperatingPoint]:
    """The points that break the bounds by the least, each bound counted in units of itself."""

    def excess(point: OperatingPoint) -> float:
        return sum(
            max(0.0, value) / max(abs(constraints[name]), _TOLERANCE)
            for name, value in violations(point, constraints).items()
        )

    return sorted(points, key=lambda point: (excess(point), point.size_bytes))[:count]


def reference_accuracy(baseline_accuracy: float, constraints: Mapping[str, float]) -> float:
    """The accuracy that is worth nothing in the hypervolume: the constraint's floor, or 0 without one.

    Where scores are below 0, as those that are minimised, it is twice the dense network's without a constraint.
    """
    floors = [constraints["val_accuracy"]] if "val_accuracy" in constraints else []
    if "accuracy_drop" in constraints:
        floors.append(baseline_accuracy - constraints["accuracy_drop"])
    return max(floors, default=min(0.0, 2 * baseline_accuracy))
