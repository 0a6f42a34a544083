"""What a search finds for its compute: ``python -m benchmarks.search [--seeds 20] [--figure docs/images/search.png]``.

Searches run in tables recorded by `benchmarks.record_table`, in virtual time on two workers. Compute is trial-seconds,
as a share of what the plain set-up takes for its trials: Ray Tune with `OptunaSearch` as its documentation writes it.
Hypervolume is that of the points that keep the constraint, in accuracy times octaves of compression. The plain set-up
reports the last round of a trial; `plain, all rounds` counts every round of the same trials. Printed are medians over
seeds, with quartiles.
"""

from __future__ import annotations

import argparse
import bisect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.simulation import Ours, Plain, Step, Table, simulate
from rdsearch.config import SearchConfig
from rdsearch.front import hypervolume_history
from rdsearch.search.constraints import feasible, reference_accuracy

TABLES = Path(__file__).parent / "tables"
BASELINES: Mapping[str, tuple[int, float, int]] = {"digits": (360, 355 / 360, 127_848)}
"""Table to its validation examples, and the dense network's accuracy and bytes."""
PLAIN_TRIALS = 60
MANY = 100_000
SHARES = (0.125, 0.25, 0.5, 1.0)

NOTHING: Mapping[str, Any] = {
    "heuristics": False,
    "prefix_observations": False,
    "patience": None,
    "scheduler": "none",
}
CONTENDERS: Mapping[str, Mapping[str, Any]] = {
    "random": {**NOTHING, "sampler": "random"},
    "TPE": NOTHING,
    "TPE, heuristics": {**NOTHING, "heuristics": True},
    "TPE, prefixes": {**NOTHING, "prefix_observations": True},
    "TPE, patience 1": {**NOTHING, "patience": 1},
    "TPE, patience 2": {**NOTHING, "patience": 2},
    "TPE, halving": {**NOTHING, "scheduler": "halving"},
    "the defaults": {},
    "all but prefixes": {"heuristics": True, "prefix_observations": False, "patience": 1, "scheduler": "halving"},
    "all four": {"heuristics": True, "prefix_observations": True, "patience": 1, "scheduler": "halving"},
}


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


def curve(steps: Sequence[Step], table: Table) -> Curve:
    """The hypervolume over a search's time."""
    constraints = table.file.search.constraints
    kept = [step for step in steps if feasible(step.point, constraints)]
    history = hypervolume_history(
        [step.point for step in kept],
        reference_size=table.size_bytes,
        reference_accuracy=reference_accuracy(table.accuracy, constraints),
    )
    return Curve([step.seconds for step in kept], history)


def config_of(table: Table, settings: Mapping[str, Any], seed: int) -> SearchConfig:
    """A contender's settings on top of the table's constraints."""
    return SearchConfig(**{"constraints": table.file.search.constraints, "trials": 1000, "seed": seed, **settings})


def compare(table: Table, names: Sequence[str], seeds: int) -> tuple[dict[str, list[Curve]], float]:
    """Every contender's curves, and the compute of the plain set-up."""
    curves: dict[str, list[Curve]] = {"plain": [], "plain, all rounds": []}
    totals = []
    for seed in range(seeds):
        steps = simulate(Plain(table, PLAIN_TRIALS, seed), table)
        totals.append(steps[-1].seconds)
        curves["plain"].append(curve([step for step in steps if step.last], table))
        curves["plain, all rounds"].append(curve(steps, table))
    total = float(np.median(totals))
    for name in names:
        curves[name] = []
        for seed in range(seeds):
            contender = Ours(table, config_of(table, CONTENDERS[name], seed))
            curves[name].append(curve(simulate(contender, table, seconds=total), table))
        print(f"  {name} done", file=sys.stderr, flush=True)
    return curves, total


def show(curves: Mapping[str, list[Curve]], total: float) -> None:
    """Print medians and quartiles at shares of the plain set-up's compute, and the share that reaches its end."""
    goal = float(np.median([each.at(float("inf")) for each in curves["plain"]]))
    print(f"{'':20}" + "".join(f"{f'at {share:g}':>24}" for share in SHARES) + f"{'plain reached at':>26}")
    for name, each in curves.items():
        cells = ""
        for share in SHARES:
            low, middle, high = np.percentile([one.at(share * total) for one in each], (25, 50, 75))
            cells += f"{f'{middle:.4f} ({low:.4f}-{high:.4f})':>24}"
        low, middle, high = np.percentile([one.reached(goal) / total for one in each], (25, 50, 75), method="nearest")
        print(f"{name:20}{cells}{f'{middle:.3f} ({low:.3f}-{high:.3f})':>26}")


def draw(curves: Mapping[str, list[Curve]], total: float, path: Path, title: str) -> None:
    """Median and quartile bands over compute."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    shares = np.linspace(0.01, 1, 200)
    for name, each in curves.items():
        values = np.array([[one.at(share * total) for share in shares] for one in each])
        low, middle, high = np.percentile(values, (25, 50, 75), axis=0)
        (line,) = axes.plot(shares, middle, label=name)
        axes.fill_between(shares, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    final = np.median([one.at(float("inf")) for one in curves["plain"]])
    axes.axhline(final, color="grey", linewidth=0.8, linestyle="--")
    axes.axvline(0.25, color="grey", linewidth=0.8, linestyle=":")
    bottom = np.median([one.at(0.05 * total) for one in curves["plain, all rounds"]])
    axes.set(xlabel="trial-seconds, plain set-up's = 1", ylabel="hypervolume", title=title, xlim=(0, 1))
    axes.set_ylim(bottom=float(bottom) * 0.9)
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", choices=list(BASELINES), default="digits")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--figure", type=Path, help="where to draw some of the contenders")
    arguments = parser.parse_args()
    table = Table(TABLES / f"{arguments.table}.yaml", *BASELINES[arguments.table])
    curves, total = compare(table, arguments.contenders, arguments.seeds)
    print(f"{arguments.table}: {arguments.seeds} seeds; plain set-up, {PLAIN_TRIALS} trials: {total:.0f} trial-seconds")
    show(curves, total)
    if arguments.figure:
        shown = [name for name in ("plain", "plain, all rounds", "random", "TPE", "the defaults") if name in curves]
        draw(
            {name: curves[name] for name in shown}, total, arguments.figure, f"{arguments.table}: median and quartiles"
        )


if __name__ == "__main__":
    main()
