"""What searches have found by when: hypervolume over compute, medians and quartiles over seeds, as text and figure."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rdsearch.compression.measure import Baseline
from rdsearch.points.front import hypervolume, hypervolume_history, pareto
from rdsearch.points.point import OperatingPoint
from rdsearch.search.study.constraints import feasible, reference_accuracy

PLAIN = "plain"
"""The contender whose final median all others are measured by."""
EVERY_ROUND = "plain, all rounds"
SHARES = (0.125, 0.25, 0.5, 1.0)
QUARTILES = (25, 50, 75)


@dataclass(frozen=True)
class Step:
    """A round that has ended: at how many trial-seconds of the search, with what, and whether its trial ended too."""

    seconds: float
    point: OperatingPoint
    last: bool


@dataclass(frozen=True)
class Curve:
    """Hypervolume of one search, after each round.

    Attributes:
        seconds: Compute by then.
        hypervolume: By the accuracies that were measured.
        expected: Of the front that they choose, by its members' accuracies without noise, where these are known.
    """

    seconds: list[float]
    hypervolume: list[float]
    expected: list[float]

    def at(self, seconds: float, *, expected: bool = False) -> float:
        """Hypervolume by then."""
        place = bisect.bisect_right(self.seconds, seconds)
        return (self.expected if expected else self.hypervolume)[place - 1] if place else 0.0

    def reached(self, hypervolume: float, *, expected: bool = False) -> float:
        """Seconds until it was as large; infinite if it never was."""
        values = self.expected if expected else self.hypervolume
        return next((at for at, value in zip(self.seconds, values, strict=True) if value >= hypervolume), math.inf)


def curve(steps: Sequence[Step], baseline: Baseline, constraints: Mapping[str, float]) -> Curve:
    """The hypervolume over a search's time, of the points that keep the constraints."""
    reference: dict[str, float] = {
        "reference_size": baseline.size_bytes,
        "reference_accuracy": reference_accuracy(baseline.accuracy, constraints),
    }
    kept = [step for step in steps if feasible(step.point, constraints)]
    history = hypervolume_history([step.point for step in kept], **reference)
    front: list[OperatingPoint] = []
    expected: list[float] = []
    for step in kept:
        front, before = pareto([*front, step.point]), front
        if len(before) == len(front) and all(one is other for one, other in zip(before, front, strict=True)):
            expected.append(expected[-1])
        else:
            expected.append(hypervolume([_expected(point) for point in front], **reference))
    return Curve([step.seconds for step in kept], history, expected)


def _expected(point: OperatingPoint) -> OperatingPoint:
    return point if point.test_accuracy is None else replace(point, val_accuracy=point.test_accuracy)


def show(
    curves: Mapping[str, Sequence[Curve]],
    total: float,
    *,
    expected: bool = False,
    thousandths: bool = False,
    shares: Sequence[float] = SHARES,
) -> None:
    """Print medians and quartiles at shares of the plain set-up's compute, and the shares that reach its ends."""
    scale, digits = (1000, 0) if thousandths else (1, 2)
    goals = {name: final(curves[name], expected=expected) for name in (PLAIN, EVERY_ROUND) if name in curves}
    heads = [*(f"at {share:g}" for share in shares), *(f"{name} reached at" for name in goals)]
    print(f"| | {' | '.join(heads)} |")
    print("|---" * (len(heads) + 1) + "|")
    for name, each in curves.items():
        values = [
            np.percentile([one.at(share * total, expected=expected) for one in each], QUARTILES) for share in shares
        ]
        cells = ["{1:.{3}f} ({0:.{3}f}–{2:.{3}f})".format(*(three * scale), digits) for three in values]
        for whose, goal in goals.items():
            # Interpolation between a search that came there and one that never did would say nothing.
            when = np.percentile(
                [one.reached(goal, expected=expected) / total for one in each], QUARTILES, method="nearest"
            )
            cells.append("–" if name == whose else "{1:.2f} ({0:.2f}–{2:.2f})".format(*when))
        print(f"| {name} | {' | '.join(cells).replace('inf', 'never')} |")


def show_paired(
    curves: Mapping[str, Sequence[Curve]],
    total: float,
    against: str,
    *,
    expected: bool = True,
    shares: Sequence[float] = SHARES,
) -> None:
    """Print differences to one contender, seed by seed, with Wilcoxon's signed-rank test, and when its end is reached.

    Args:
        curves: Contender to its searches, of the same seeds in the same order.
        total: Compute that counts as 1.
        against: The contender that the others are compared with.
        expected: Score fronts by accuracies without noise.
        shares: Shares of the compute to compare at.
    """
    from scipy.stats import wilcoxon

    goal = float(np.median([one.at(total, expected=expected) for one in curves[against]]))
    heads = [*(f"at {share:g}" for share in shares), f"end of {against} reached at"]
    print(f"| minus {against} | {' | '.join(heads)} |")
    print("|---" * (len(heads) + 1) + "|")
    for name, each in curves.items():
        if name == against:
            continue
        cells = []
        for share in shares:
            ours, theirs = (
                np.array([one.at(share * total, expected=expected) for one in those])
                for those in (each, curves[against])
            )
            difference = ours - theirs
            p = float(wilcoxon(difference).pvalue) if np.any(difference != 0) else 1.0
            won = int((difference > 0).sum())
            cells.append(f"{difference.mean() / theirs.mean():+.1%}, {won} of {len(difference)}, p = {p:.2g}")
        when = np.median([min(one.reached(goal, expected=expected) / total, 9.0) for one in each])
        cells.append("never" if when >= 9 else f"{when:.2f}")
        print(f"| {name} | {' | '.join(cells)} |")


def final(curves: Sequence[Curve], *, expected: bool = False) -> float:
    """Median of what searches have found in the end."""
    return float(np.median([one.at(float("inf"), expected=expected) for one in curves]))


def draw(
    curves: Mapping[str, Sequence[Curve]],
    total: float,
    path: Path,
    title: str,
    *,
    expected: bool = False,
    bands: Sequence[str] | None = None,
) -> None:
    """Medians over compute, with quartile bands for all, or for ``bands`` alone, whose lines are thicker then."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8.4, 4.2), layout="constrained")
    axes.set_prop_cycle(color=plt.get_cmap("tab20").colors[:: 1 if len(curves) > 10 else 2])
    shares = np.linspace(0.01, 1, 200)
    for name, each in curves.items():
        values = np.array([[one.at(share * total, expected=expected) for share in shares] for one in each])
        low, middle, high = np.percentile(values, QUARTILES, axis=0)
        banded = bands is None or name in bands
        (line,) = axes.plot(shares, middle, label=name, linewidth=1.8 if banded else 0.8)
        if banded:
            axes.fill_between(shares, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    bottom = min(np.median([one.at(0.1 * total, expected=expected) for one in each]) for each in curves.values())
    axes.set(xlabel="trial-seconds, plain set-up's = 1", ylabel="hypervolume", title=title, xlim=(0, 1))
    axes.set_ylim(bottom=float(bottom) * 0.9)
    figure.legend(loc="outside right center", frameon=False, fontsize="small")
    figure.savefig(path, dpi=120)
