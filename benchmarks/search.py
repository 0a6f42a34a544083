"""What a search finds for its compute: ``python -m benchmarks.search [--seeds 20] [--figure docs/images/search.png]``.

Searches run in tables recorded by `benchmarks.record_table`, in virtual time on two workers. Compute is trial-seconds,
as a share of what the plain set-up takes for its trials: Ray Tune with `OptunaSearch` as its documentation writes it.
Hypervolume is that of the points that keep the constraint, in accuracy times octaves of compression. The plain set-up
reports the last round of a trial; `plain, all rounds` counts every round of the same trials. Printed are medians over
seeds, with quartiles.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.curves import EVERY_ROUND, PLAIN, Curve, Step, curve, draw, show
from benchmarks.simulation import Ours, Plain, Table, simulate
from rdsearch.compression.measure import Baseline
from rdsearch.config.searchfile import SearchConfig
from rdsearch.search.study import samplers

TABLES = Path(__file__).parent / "tables"
BASELINES: Mapping[str, tuple[int, Baseline]] = {
    "digits": (360, Baseline(355 / 360, 127_848)),
    "lenet300": (5000, Baseline(0.984, 1_066_440)),
}
"""Table to its validation examples and the dense network's figures."""
PLAIN_TRIALS = 60
DRAWN = (PLAIN, EVERY_ROUND, "random", "TPE", "the defaults")

NOTHING: Mapping[str, Any] = {
    "heuristics": False,
    "prefix_observations": False,
    "patience": None,
    "scheduler": "none",
}
CONTENDERS: Mapping[str, Mapping[str, Any]] = {
    "random": {**NOTHING, "sampler": "random"},
    "TPE": NOTHING,
    "TPE, not told": {**NOTHING, "constraints": {}},
    "TPE, heuristics": {**NOTHING, "heuristics": True},
    "TPE, prefixes": {**NOTHING, "prefix_observations": True},
    "TPE, patience 1": {**NOTHING, "patience": 1},
    "TPE, patience 2": {**NOTHING, "patience": 2},
    "TPE, halving": {**NOTHING, "scheduler": "halving"},
    "the defaults": {},
    "all but prefixes": {"heuristics": True, "prefix_observations": False, "patience": 1, "scheduler": "halving"},
    "all four": {"heuristics": True, "prefix_observations": True, "patience": 1, "scheduler": "halving"},
}


def config_of(table: Table, settings: Mapping[str, Any], seed: int) -> SearchConfig:
    """A contender's settings on top of the table's constraints."""
    return SearchConfig(**{"constraints": table.constraints, "trials": 1000, "seed": seed, **settings})


def compare(table: Table, names: Sequence[str], seeds: Sequence[int]) -> tuple[dict[str, list[Curve]], float]:
    """Every contender's curves, and the compute of the plain set-up."""

    def curve_of(steps: Sequence[Step]) -> Curve:
        return curve(steps, table.baseline, table.constraints)

    plain = [simulate(Plain(table, PLAIN_TRIALS, seed), table) for seed in seeds]
    total = float(np.median([steps[-1].seconds for steps in plain]))
    curves = {
        PLAIN: [curve_of([step for step in steps if step.last]) for steps in plain],
        EVERY_ROUND: [curve_of(steps) for steps in plain],
    }
    for name in names:
        contenders = [Ours(table, config_of(table, CONTENDERS[name], seed)) for seed in seeds]
        curves[name] = [curve_of(simulate(contender, table, seconds=total)) for contender in contenders]
        print(f"  {name} done", file=sys.stderr, flush=True)
    return curves, total


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", choices=list(BASELINES), default="digits")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--start-up", type=int, default=samplers.TPE_START_UP, help="trials before TPE proposes")
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--figure", type=Path, help="where to draw some of the contenders")
    arguments = parser.parse_args()
    table = Table(TABLES / f"{arguments.table}.yaml", *BASELINES[arguments.table])
    samplers.TPE_START_UP = arguments.start_up
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    curves, total = compare(table, arguments.contenders, seeds)
    every = curve([Step(0.0, point, last=True) for point in table.recorded()], table.baseline, table.constraints)
    print(f"{arguments.table}, seeds {seeds[0]} to {seeds[-1]}")
    print(f"{PLAIN_TRIALS} trials of the plain set-up: {total:.0f} trial-seconds")
    print(f"hypervolume of everything recorded: {every.hypervolume[-1]:.3f}\n")
    show(curves, total)
    if arguments.figure:
        shown = {name: each for name, each in curves.items() if name in DRAWN}
        draw(shown, total, arguments.figure, f"{arguments.table}: median and quartiles")


if __name__ == "__main__":
    main()
