"""The Pareto front of size and accuracy, what it is worth, and how to choose from it."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Iterator, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from rdsearch.base.units import format_size, parse_share, parse_size, standard_error
from rdsearch.errors import RdsearchError, SearchError
from rdsearch.points.columns import DERIVED_COLUMNS, FRONT_COLUMNS, record
from rdsearch.points.point import OperatingPoint, shown_by

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

# An accuracy is a count over a count: two that differ at all differ by far more than this, while
# 0.99 - 0.98 in floats exceeds 0.01 by 9e-18.
_ACCURACY_TOLERANCE = 1e-9


def pareto(points: Iterable[OperatingPoint]) -> list[OperatingPoint]:
    """The points that no other point beats, ``size_bytes`` being minimized and ``val_accuracy`` maximized.

    Points equal in both count once, and the first trial's first round stands for them (a point without a
    trial comes before all trials). A point whose accuracy is NaN or infinite is never on the front.
    O(n log n).

    Returns:
        The front by rising size, and so by rising accuracy, both strictly.
    """
    known = [point for point in points if math.isfinite(point.val_accuracy)]
    size = np.array([point.size_bytes for point in known], dtype=np.float64)
    accuracy = np.array([point.val_accuracy for point in known], dtype=np.float64)
    trial = np.array([-1 if point.trial is None else point.trial for point in known], dtype=np.int64)
    round_ = np.array([point.round for point in known], dtype=np.int64)
    order = np.lexsort((round_, trial, -accuracy, size))
    best_before = np.concatenate(([-np.inf], np.maximum.accumulate(accuracy[order])[:-1])) if known else order
    return [known[index] for index in order[accuracy[order] > best_before]]


def hypervolume(points: Iterable[OperatingPoint], *, reference_size: float, reference_accuracy: float) -> float:
    """The area that the points dominate, in accuracy times octaves of compression.

    The axes are ``log2(reference_size / size_bytes)`` and ``val_accuracy - reference_accuracy``: halving
    every file of a front adds the accuracy it holds above the reference. A point that is no smaller than
    the reference size, or no more accurate than the reference accuracy, counts nothing.

    Args:
        points: Any points; dominated ones change nothing.
        reference_size: Bytes, above 0; the dense network's size as a rule.
        reference_accuracy: The accuracy that is worth nothing.

    Raises:
        SearchError: ``reference_size`` is not above 0.
    """
    if not reference_size > 0:
        raise SearchError(
            f"reference_size is {reference_size}: it is a file's size in bytes and must be above 0 "
            "(the dense network's size is the usual choice)."
        )
    area, accuracy_below = 0.0, reference_accuracy
    for point in pareto(points):
        octaves = math.log2(reference_size / point.size_bytes)
        if octaves > 0 and point.val_accuracy > accuracy_below:
            area += octaves * (point.val_accuracy - accuracy_below)
            accuracy_below = point.val_accuracy
    return area


def hypervolume_history(
    points: Iterable[OperatingPoint], *, reference_size: float, reference_accuracy: float
) -> list[float]:
    """`hypervolume` of the first point, of the first two, and so on to all of them.

    Returns:
        One value a point, never falling.
    """
    history: list[float] = []
    front: list[OperatingPoint] = []
    for point in points:
        if not _beaten(point, front):
            front = pareto([*front, point])
            history.append(hypervolume(front, reference_size=reference_size, reference_accuracy=reference_accuracy))
        else:
            history.append(history[-1] if history else 0.0)
    return history


def _beaten(point: OperatingPoint, front: list[OperatingPoint]) -> bool:
    """Whether the front (by rising size) has a point as small and as accurate, or the point is NaN."""
    if not math.isfinite(point.val_accuracy):
        return True
    not_larger = bisect.bisect_right(front, point.size_bytes, key=lambda member: member.size_bytes)
    return not_larger > 0 and front[not_larger - 1].val_accuracy >= point.val_accuracy


class Front(Sequence[OperatingPoint]):
    """The Pareto front of a search: its points by rising size, beside the dense network that they came from.

    Args:
        points: Any operating points; those that another beats are left out (see `pareto`).
        baseline_accuracy: Validation accuracy of the dense network.
        baseline_size_bytes: Bytes of the dense float32 network.
        n_validation: Number of validation examples that the accuracies are shares of; ``None`` where that is not
            known, or where the score is no accuracy.
    """

    def __init__(
        self,
        points: Iterable[OperatingPoint],
        *,
        baseline_accuracy: float,
        baseline_size_bytes: int,
        n_validation: int | None = None,
    ) -> None:
        self._points = tuple(pareto(points))
        self.baseline_accuracy = baseline_accuracy
        self.baseline_size_bytes = baseline_size_bytes
        self.n_validation = n_validation

    def __len__(self) -> int:
        return len(self._points)

    def __iter__(self) -> Iterator[OperatingPoint]:
        return iter(self._points)

    @overload
    def __getitem__(self, index: int) -> OperatingPoint: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[OperatingPoint, ...]: ...
    def __getitem__(self, index: int | slice) -> OperatingPoint | tuple[OperatingPoint, ...]:
        return self._points[index]

    def __repr__(self) -> str:
        if not self._points:
            return "Front(0 points)"
        small, large = self._points[0], self._points[-1]
        return (
            f"Front({len(self)} points, {format_size(small.size_bytes)} at {small.val_accuracy:.4f} "
            f"to {format_size(large.size_bytes)} at {large.val_accuracy:.4f}; "
            f"dense {format_size(self.baseline_size_bytes)} at {self.baseline_accuracy:.4f})"
        )

    def _repr_html_(self) -> str:
        return str(shown_by().front_html(self))

    def plot(self, points: Iterable[OperatingPoint] = ()) -> go.Figure:
        """The report's interactive plot of the front, a plotly figure.

        Args:
            points: Other points to show behind it, such as every round of a search.
        """
        return shown_by("figure").front_figure(list(points), self)

    def error(self, point: OperatingPoint) -> float | None:
        """Standard error of a point's validation accuracy; ``None`` where it is not known."""
        if self.n_validation is None or not 0 <= point.val_accuracy <= 1:
            return None
        return standard_error(point.val_accuracy, self.n_validation)

    def pick(
        self,
        *,
        max_drop: float | str | None = None,
        max_bytes: int | str | None = None,
        confidence: float | None = None,
    ) -> OperatingPoint:
        """Choose one point.

        With ``max_drop`` alone the smallest file within that drop; with ``max_bytes`` alone the most accurate
        file within that size; with both the smallest file that keeps both.

        Args:
            max_drop: Most accuracy that may be lost against the dense network, as a share of 1 or as ``"1%"``.
            max_bytes: Largest file allowed, in bytes or as ``"20k"``.
            confidence: Keep the drop with this probability, and not only on the examples that were measured: the drop
                and so many standard errors of it are within the limit (normal approximation of two proportions, taken
                as independent; measured on the same examples their difference varies less). A front is made of lucky
                measurements, so that without it a drop is often a little larger elsewhere.

        Raises:
            SearchError: Neither was given, the drop looks like a percentage, the front is empty, the confidence is
                none or has no standard error to go by, or nothing fits; the message then names the nearest misses.
        """
        if max_drop is None and max_bytes is None:
            raise SearchError("pick() needs max_drop (0.01 = one point of accuracy), max_bytes, or both.")
        max_drop = parse_share(max_drop) if isinstance(max_drop, str) else max_drop
        max_bytes = parse_size(max_bytes) if isinstance(max_bytes, str) else max_bytes
        self._check_drop(max_drop)
        margins = self._margins(max_drop, confidence)
        fitting = [
            point
            for point, margin in zip(self._known(), margins, strict=True)
            if (max_drop is None or point.accuracy_drop + margin <= max_drop + _ACCURACY_TOLERANCE)
            and (max_bytes is None or point.size_bytes <= max_bytes)
        ]
        if not fitting:
            sure = "" if confidence is None else f" With a confidence of {confidence:g} drops count larger."
            raise SearchError(self._nearest_misses(max_drop, max_bytes) + sure)
        return fitting[-1] if max_drop is None else fitting[0]

    def knee(self) -> OperatingPoint:
        """The point where the front bends most.

        Log size and accuracy are each scaled to [0, 1] over the front; the knee is the point farthest above
        the straight line from the smallest file to the most accurate one (the difference curve of Satopaa et
        al. 2011, "Finding a kneedle in a haystack"). A front that nowhere rises above that line has its knee
        at its most accurate point. The ends set the scale: a front that reaches down to a wrecked network
        bends at a smaller file than the same front cut off above it.

        Raises:
            SearchError: The front is empty.
        """
        points = self._known()
        if len(points) < 3:
            return points[-1]
        log_size = np.log([point.size_bytes for point in points])
        accuracy = np.array([point.val_accuracy for point in points])
        height = (accuracy - accuracy[0]) / (accuracy[-1] - accuracy[0])
        height -= (log_size - log_size[0]) / (log_size[-1] - log_size[0])
        # The ends lie on the line exactly; rounding there must not make them the knee or rob them of it.
        height[0], height[-1] = 0.0, 0.0
        return points[len(points) - 1 - int(np.argmax(height[::-1]))]

    def within_standard_error(self, n_validation: int | None = None) -> OperatingPoint:
        """The smallest file that the validation part cannot tell from the most accurate one.

        That is, within one standard error ``sqrt(a (1 - a) / n)`` of the front's best accuracy ``a`` (the
        one-standard-error rule of Breiman et al. 1984, "Classification and Regression Trees", section 3.4.3).

        Args:
            n_validation: Number of validation examples; the front's own when not given.

        Raises:
            SearchError: The front is empty, the number is not known or below 1, or the score is no share of 1.
        """
        best = self._known()[-1].val_accuracy
        n_validation = self.n_validation if n_validation is None else n_validation
        if n_validation is None:
            raise SearchError(
                "the scores of this front have no known standard error, they are no accuracies or their number of "
                "examples is not known: give n_validation, or choose by pick(max_drop=…) or pick(max_bytes=…)."
            )
        if n_validation < 1:
            raise SearchError(f"n_validation is {n_validation}: give the number of validation examples, 1 or more.")
        if not 0 <= best <= 1:
            raise SearchError(
                f"the best score on the front is {best:g}, and the standard error of a proportion needs an "
                "accuracy between 0 and 1: choose by pick(max_drop=…) or pick(max_bytes=…) instead."
            )
        floor = best - standard_error(best, n_validation) - _ACCURACY_TOLERANCE
        return next(point for point in self._points if point.val_accuracy >= floor)

    def hypervolume(self, *, reference_size: float | None = None, reference_accuracy: float = 0.0) -> float:
        """Area that the front dominates, see `hypervolume`; the dense size is the reference size."""
        return hypervolume(
            self._points,
            reference_size=self.baseline_size_bytes if reference_size is None else reference_size,
            reference_accuracy=reference_accuracy,
        )

    def records(self) -> list[dict[str, Any]]:
        """One mapping a point: the fixed columns of ``front.csv``, ``point`` counted from 1 at the smallest file."""
        measured = [name for name in FRONT_COLUMNS if name not in DERIVED_COLUMNS]
        rows = []
        for number, point in enumerate(self, start=1):
            row = {**self._derived(number, point), **record(point, measured)}
            rows.append({name: row[name] for name in FRONT_COLUMNS})
        return rows

    def _derived(self, number: int, point: OperatingPoint) -> dict[str, Any]:
        return {"point": number, "val_examples": self.n_validation, "val_standard_error": self.error(point)}

    def to_pandas(self) -> pd.DataFrame:
        """The front as a table with the columns of ``front.csv``, one row a point, ``point`` counted from 1.

        Raises:
            RdsearchError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise RdsearchError(
                "to_pandas() needs pandas, which is not installed: `pip install 'rdsearch[pandas]'`, "
                "or iterate over the front, or read front.csv."
            ) from error
        rows = [{**figures, **point.parameters} for figures, point in zip(self.records(), self, strict=True)]
        return pd.DataFrame(rows, columns=[*FRONT_COLUMNS, *parameter_names(self)])

    def _known(self) -> tuple[OperatingPoint, ...]:
        if not self._points:
            raise SearchError(
                "the front is empty: no operating point has an accuracy yet. "
                "Run more trials, or loosen the constraints."
            )
        return self._points

    def _margins(self, max_drop: float | None, confidence: float | None) -> list[float]:
        """How much larger each point's drop may be than it was measured, at a confidence."""
        if confidence is None:
            return [0.0] * len(self._points)
        if max_drop is None or not 0.5 <= confidence < 1:
            raise SearchError(
                f"confidence is {confidence:g}: give one from 0.5 to below 1, such as 0.95, beside max_drop, which it "
                "is about."
            )
        errors = [self.error(point) for point in self._points]
        if self.n_validation is None or any(error is None for error in errors):
            raise SearchError(
                "the scores of this front have no known standard error, they are no accuracies or their number of "
                "examples is not known: leave confidence out."
            )
        dense = standard_error(min(max(self.baseline_accuracy, 0.0), 1.0), self.n_validation)
        quantile = NormalDist().inv_cdf(confidence)
        return [quantile * math.hypot(error or 0.0, dense) for error in errors]

    def _check_drop(self, max_drop: float | None) -> None:
        if max_drop is not None and max_drop >= 1 and 0 <= self.baseline_accuracy <= 1:
            raise SearchError(
                f"max_drop is {max_drop:g}, and a drop of 1 or more lets any network pass: drops are shares "
                f"of 1 (for {max_drop:g} points of accuracy say {max_drop / 100:g}, or '{max_drop:g}%')."
            )

    def _nearest_misses(self, max_drop: float | None, max_bytes: int | None) -> str:
        """Why nothing fits: the wish, and the nearest miss on each limit."""
        wanted, misses = [], []
        if max_bytes is not None:
            wanted.append(f"at most {max_bytes} bytes")
            smallest = self.pick(max_drop=max_drop) if self._reaches(max_drop) else self._points[0]
            misses.append(_describe("smallest", smallest))
        if max_drop is not None:
            wanted.append(f"a drop of at most {max_drop:g}")
            within = [point for point in self._points if max_bytes is None or point.size_bytes <= max_bytes]
            misses.append(_describe("most accurate", (within or self._points)[-1]))
        return (
            f"no point of the front has {' and '.join(wanted)}. The nearest: {'; '.join(misses)}. "
            "Allow more, or run more trials."
        )

    def _reaches(self, max_drop: float | None) -> bool:
        """Whether any point at all keeps the drop."""
        return max_drop is not None and self._points[-1].accuracy_drop <= max_drop + _ACCURACY_TOLERANCE


def parameter_names(points: Iterable[OperatingPoint]) -> list[str]:
    """Names of all parameters that any of the points has, sorted."""
    return sorted({name for point in points for name in point.parameters})


def _describe(what: str, point: OperatingPoint) -> str:
    return f"the {what} has {point.size_bytes} bytes at a drop of {point.accuracy_drop:.4f}"
