"""What a search finds for its compute, beside the strongest searchers that there are.

    python -m benchmarks.search --table digits --first-seed 300 --seeds 12 --keep KEPT --figure docs/images/search.png

Searches run in tables recorded by `benchmarks.record_table`, in virtual time on two workers. Compute is trial-seconds,
as a share of what the plain set-up takes for its trials: Ray Tune with `OptunaSearch` as its documentation writes it.
The accuracies of a table are smoothed, and every measurement of them is drawn anew, from so many examples as the
validation part has. Hypervolume is that of the front which the measured accuracies choose, in accuracy times octaves of
compression, twice: by these accuracies, and by those without noise. `plain` reports the last round of a trial; all
others count every round. Printed are medians over seeds with quartiles, and differences seed by seed with a test. Other
packages' searchers are in `benchmarks.peers`; one whose package is missing is left out. With ``--keep`` searches are
kept in a folder, and not run again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.curves import EVERY_ROUND, PLAIN, SHARES, Curve, Step, curve, draw, show, show_paired
from benchmarks.peers import PEERS
from benchmarks.recorded import BASELINES, Table, open_table
from benchmarks.simulation import Contender, Ours, Plain, simulate
from rdsearch.config.searchfile import SearchConfig

PLAIN_TRIALS = 60
STRONGEST = "Optuna TPE"
BANDS = (STRONGEST, "curve")

NOTHING: Mapping[str, Any] = {
    "sampler": "tpe",
    "heuristics": False,
    "prefix_observations": False,
    "patience": None,
    "scheduler": "none",
}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "curve": {"sampler": "curve"},
    "curve alone": {**NOTHING, "sampler": "curve"},
    "the defaults, tpe": {"sampler": "tpe"},
    "random, else the defaults": {"sampler": "random"},
    "tpe alone": NOTHING,
    "tpe, heuristics": {**NOTHING, "heuristics": True},
    "tpe, prefixes": {**NOTHING, "prefix_observations": True},
    "tpe, patience 1": {**NOTHING, "patience": 1},
    "tpe, halving": {**NOTHING, "scheduler": "halving"},
}
"""Contenders of this project: what they change of the defaults."""
MISSING = "its package is missing"


def config_of(table: Table, settings: Mapping[str, Any], seed: int) -> SearchConfig:
    """A contender's settings on top of the table's constraints."""
    return SearchConfig(**{"constraints": table.file.search.constraints, "trials": 1000, "seed": seed, **settings})


def contenders() -> dict[str, Callable[[Table, int], Contender]]:
    """All that can be asked for, by name."""

    def ours(settings: Mapping[str, Any]) -> Callable[[Table, int], Contender]:
        return lambda table, seed: Ours(table, config_of(table, settings, seed))

    return {**PEERS, **{name: ours(settings) for name, settings in SETTINGS.items()}}


class Bench:
    """Runs searches in one table, and keeps what they found.

    Args:
        name: The table.
        noisy: Whether accuracies are smoothed and measured anew; else they are those that were recorded.
        keep: Folder of what was run already.
    """

    def __init__(self, name: str, *, noisy: bool = True, keep: Path | None = None) -> None:
        self.name, self.noisy, self._keep = name, noisy, keep
        self.table = open_table(name, smooth=noisy)

    def steps(self, who: str, make: Callable[[Table, int], Contender], seed: int, seconds: float) -> list[Step]:
        """One search."""
        noise = np.random.default_rng((seed, 1)) if self.noisy else None
        return simulate(make(self.table, seed), self.table, seconds=seconds, noise=noise)

    def plain(self, seed: int) -> tuple[Curve, Curve]:
        """The plain set-up: by the last rounds of its trials, and by all."""
        steps: list[Step] = []

        def every() -> Curve:
            steps[:] = self.steps(PLAIN, lambda table, own: Plain(table, PLAIN_TRIALS, own), seed, float("inf"))
            return self._curve(steps)

        whole = self._kept(EVERY_ROUND, seed, every)
        last = self._kept(
            PLAIN, seed, lambda: self._curve([step for step in steps or (every() and steps) if step.last])
        )
        return last, whole

    def curve(self, who: str, seed: int, seconds: float) -> Curve:
        """Another contender's search."""
        return self._kept(who, seed, lambda: self._curve(self.steps(who, contenders()[who], seed, seconds)))

    def _curve(self, steps: Sequence[Step]) -> Curve:
        return curve(steps, self.table.baseline, self.table.file.search.constraints)

    def _kept(self, who: str, seed: int, run: Callable[[], Curve]) -> Curve:
        folder = None if self._keep is None else self._keep / self.name / who.replace(" ", "_")
        path = None if folder is None else folder / f"{seed}{'' if self.noisy else '.recorded'}.json"
        if path is not None and path.exists():
            return Curve(**json.loads(path.read_text()))
        started = time.process_time()
        found = run()
        print(f"{self.name}: {who}, seed {seed}: {time.process_time() - started:.1f} s", file=sys.stderr, flush=True)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(asdict(found)))
        return found


def compare(
    bench: Bench, names: Sequence[str], seeds: Sequence[int], share: float = 1.0
) -> tuple[dict[str, list[Curve]], float]:
    """Every contender's curves, and the compute of the plain set-up."""
    plain = [bench.plain(seed) for seed in seeds]
    total = float(np.median([whole.seconds[-1] for _, whole in plain]))
    curves = {PLAIN: [last for last, _ in plain], EVERY_ROUND: [whole for _, whole in plain]}
    for name in names:
        try:
            curves[name] = [bench.curve(name, seed, share * total) for seed in seeds]
        except ImportError as error:
            print(f"{name}: {MISSING} ({error.name})", file=sys.stderr)
    return curves, total


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", choices=list(BASELINES), default="digits")
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--contenders", nargs="+", choices=list(contenders()), default=list(contenders()))
    parser.add_argument("--share", type=float, default=1.0, help="of the plain set-up's compute, for slow contenders")
    parser.add_argument("--against", default=STRONGEST, help="whom the others are compared with")
    parser.add_argument("--recorded", action="store_true", help="accuracies as recorded, with their noise")
    parser.add_argument("--keep", type=Path, help="folder of what was run already")
    parser.add_argument("--figure", type=Path, help="where to draw the contenders")
    arguments = parser.parse_args()
    bench = Bench(arguments.table, noisy=not arguments.recorded, keep=arguments.keep)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    curves, total = compare(bench, arguments.contenders, seeds, arguments.share)
    thousandths = arguments.table != "digits"
    print(f"{arguments.table}, seeds {seeds[0]} to {seeds[-1]}; {PLAIN_TRIALS} plain trials: {total:.0f} trial-seconds")
    shares = [share for share in SHARES if share <= arguments.share]
    for expected in (True, False):
        unit = " in thousandths" if thousandths else ""
        print(f"\nHypervolume{unit}, {'without noise' if expected else 'as measured'}\n")
        show(curves, total, expected=expected, thousandths=thousandths, shares=shares)
        print()
        show_paired(curves, total, arguments.against, expected=expected, shares=shares)
    if arguments.figure:
        title = f"{arguments.table}: median and quartiles, fronts scored without noise"
        draw(curves, total, arguments.figure, title, expected=True, bands=BANDS)


if __name__ == "__main__":
    main()
