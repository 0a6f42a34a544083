"""Fronts of single measurements against fronts of estimates: what they promise and what they keep.

    python -m benchmarks.chosen_fronts --table digits --first-seed 300 --seeds 12

Searches with the sampler ``curve`` run in a smoothed table, every accuracy measured anew; each front is scored by the
accuracies without noise. Then the smallest file within the constraint is picked, plainly and with a confidence.
``--published results/mnist_lenet5`` compares with test scores instead.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.recorded import BASELINES
from benchmarks.search import Bench, config_of, contenders
from rdsearch.errors import SearchError
from rdsearch.points.front import Front
from rdsearch.points.point import OperatingPoint
from rdsearch.search.outcome.results import read_results
from rdsearch.search.study.constraints import reference_accuracy
from rdsearch.search.study.curve.estimates import estimates

CONFIDENCES = (None, 0.95)


@dataclass
class Row:
    """Figures of one way to choose, one entry a search."""

    hypervolumes: list[float]
    optimism: list[float]
    broken: list[float]
    picks: dict[float | None, list[tuple[int, bool]]]


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", choices=list(BASELINES), default="digits")
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--published", type=Path, help="a search that was tested: its front against its test scores")
    arguments = parser.parse_args()
    if arguments.published:
        show_published(arguments.published)
        return
    bench = Bench(arguments.table)
    total = float(np.median([bench.plain(seed)[1].seconds[-1] for seed in range(3)]))
    constraints = bench.table.file.search.constraints
    floor = reference_accuracy(bench.table.baseline.accuracy, constraints)
    rows = {name: Row([], [], [], {each: [] for each in CONFIDENCES}) for name in ("measured", "estimated", "true")}
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        steps = bench.steps("curve", contenders()["curve"], seed, total)
        points = [replace(step.point, trial=number) for number, step in enumerate(steps)]
        config = config_of(bench.table, {"sampler": "curve"}, seed)
        true = np.array([point.test_accuracy for point in points])
        choices = {
            "measured": np.array([point.val_accuracy for point in points]),
            "estimated": estimates(points, bench.table.file.space, config)[0],
            "true": true,
        }
        for name, accuracies in choices.items():
            add(rows[name], bench, points, accuracies, true, floor)
    allowed = bench.table.baseline.accuracy - floor
    print(f"{arguments.table}, {arguments.seeds} searches")
    heads = "| front by | hypervolume, thousandths | promised too much | members past the constraint |"
    print(f"{heads} pick: bytes, past | at 95 % |")
    print("|---|---|---|---|---|---|")
    for name, row in rows.items():
        picks = [
            f"{np.median([size for size, _ in each]):,.0f}, {sum(past for _, past in each)} of {len(each)}"
            for each in row.picks.values()
        ]
        print(
            f"| {name} accuracy | {1000 * np.median(row.hypervolumes):.0f} | {np.mean(row.optimism) / allowed:+.1%} | "
            f"{np.mean(row.broken):.1%} | {' | '.join(picks)} |"
        )


def show_published(folder: Path) -> None:
    """Root mean square distance of measured and of estimated accuracies to those on the test split."""
    results = read_results(folder)
    file = results.folder.search_file()
    accuracies, _ = estimates(results.points, file.space, file.search)
    believed = {(point.trial, point.round): each for point, each in zip(results.points, accuracies, strict=True)}
    tests = np.array([point.test_accuracy for point in results.front], dtype=float)
    measured = np.array([point.val_accuracy for point in results.front])
    estimated = np.array([believed[point.trial, point.round] for point in results.front])
    print(f"{folder.name}: {len(tests)} members of the front")
    for name, values in (("measured", measured), ("estimated", estimated)):
        print(f"  {name} accuracies to test accuracies: {np.sqrt(np.mean((values - tests) ** 2)):.4f}")


def add(
    row: Row, bench: Bench, points: Sequence[OperatingPoint], accuracies: np.ndarray, true: np.ndarray, floor: float
) -> None:
    """Choose by ``accuracies``, and score by the true ones."""
    dense, size = bench.table.baseline.accuracy, bench.table.baseline.size_bytes

    def front(kept: Sequence[int], values: np.ndarray) -> Front:
        members = [
            replace(points[place], val_accuracy=float(values[place]), accuracy_drop=dense - float(values[place]))
            for place in kept
        ]
        return Front(members, baseline_accuracy=dense, baseline_size_bytes=size, n_validation=bench.table.examples)

    chosen = front([place for place in range(len(points)) if accuracies[place] >= floor - 1e-9], accuracies)
    kept = [int(point.trial or 0) for point in chosen]
    row.hypervolumes.append(front(kept, true).hypervolume(reference_accuracy=floor))
    row.optimism.append(float(np.mean(accuracies[kept] - true[kept])))
    row.broken.append(float(np.mean(true[kept] < floor - 1e-9)))
    for confidence, picks in row.picks.items():
        try:
            point = chosen.pick(max_drop=dense - floor, confidence=confidence)
        except SearchError:
            continue
        picks.append((point.size_bytes, bool(true[int(point.trial or 0)] < floor - 1e-9)))


if __name__ == "__main__":
    main()
