"""What searches have found by when: hypervolume over compute, medians and quartiles over seeds, as text and figure."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rdsearch.compression.measure import Baseline
from rdsearch.points.front import hypervolume_history
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
    """Hypervolume of one search, after each round."""

    seconds: list[float]
    hypervolume: list[float]

    def at(self, seconds: float) -> float:
        """Hypervolume by then."""
        place = bisect.bisect_right(self.seconds, seconds)
        return self.hypervolume[place - 1] if place else 0.0

    def reached(self, hypervolume: float) -> float:
        """Seconds until it was as large; infinite if it never was."""
        place = bisect.bisect_left(self.hypervolume, hypervolume)
        return self.seconds[place] if place < len(self.seconds) else float("inf")


def curve(steps: Sequence[Step], baseline: Baseline, constraints: Mapping[str, float]) -> Curve:
    """The hypervolume over a search's time, of the points that keep the constraints."""
    kept = [step for step in steps if feasible(step.point, constraints)]
    history = hypervolume_history(
        [step.point for step in kept],
        reference_size=baseline.size_bytes,
        reference_accuracy=reference_accuracy(baseline.accuracy, constraints),
    )
    return Curve([step.seconds for step in kept], history)


def show(curves: Mapping[str, Sequence[Curve]], total: float) -> None:
    """Print medians and quartiles at shares of the plain set-up's compute, and the shares that reach its ends."""
    goals = {name: final(curves[name]) for name in (PLAIN, EVERY_ROUND)}
    heads = [*(f"at {share:g}" for share in SHARES), "plain reached at", "all its rounds at"]
    print(f"| | {' | '.join(heads)} |")
    print("|---" * (len(heads) + 1) + "|")
    for name, each in curves.items():
        values = [np.percentile([one.at(share * total) for one in each], QUARTILES) for share in SHARES]
        cells = ["{1:.3f} ({0:.3f}–{2:.3f})".format(*three) for three in values]
        for whose, goal in goals.items():
            # Interpolation between a search that came there and one that never did would say nothing.
            shares = np.percentile([one.reached(goal) / total for one in each], QUARTILES, method="nearest")
            cells.append("–" if name == whose else "{1:.2f} ({0:.2f}–{2:.2f})".format(*shares))
        print(f"| {name} | {' | '.join(cells).replace('inf', 'never')} |")


def final(curves: Sequence[Curve]) -> float:
    """Median of what searches have found in the end."""
    return float(np.median([one.at(float("inf")) for one in curves]))


def draw(curves: Mapping[str, Sequence[Curve]], total: float, path: Path, title: str) -> None:
    """Median and quartile bands over compute."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    shares = np.linspace(0.01, 1, 200)
    for name, each in curves.items():
        values = np.array([[one.at(share * total) for share in shares] for one in each])
        low, middle, high = np.percentile(values, QUARTILES, axis=0)
        (line,) = axes.plot(shares, middle, label=name)
        axes.fill_between(shares, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.axhline(final(curves[PLAIN]), color="grey", linewidth=0.8, linestyle="--")
    axes.axvline(0.25, color="grey", linewidth=0.8, linestyle=":")
    bottom = np.median([one.at(0.05 * total) for one in curves[EVERY_ROUND]])
    axes.set(xlabel="trial-seconds, plain set-up's = 1", ylabel="hypervolume", title=title, xlim=(0, 1))
    axes.set_ylim(bottom=float(bottom) * 0.9)
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=120)
