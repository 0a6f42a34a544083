"""Sizes of real files by what retraining does: ``python -m benchmarks.retraining [--network ...] [--rows ...]``.

Every row is one trial: the same rounds of pruning, one option of retraining or quantisation changed. Only the row
``for the file`` is a trial for each of ``--targets``, which prunes nothing and trains for a file of so many bytes. The
table has the size at which the validation accuracy has dropped by 0, 0.5, 1, 2 and 5 points from the dense network's,
along the front of the row's files, linear between two of them. The test split is not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import yaml

from benchmarks.given import given_task, task_parser
from benchmarks.machine import machine
from rdsearch.compression.measure import measure_baseline
from rdsearch.compression.rounds import compress
from rdsearch.points.point import OperatingPoint

DROPS = (0.0, 0.005, 0.01, 0.02, 0.05)
GRADUAL = {"pruning": {"gradual": 0.6}}
TAUGHT = {"retrain": {"distillation": {"weight": 0.7}}}
TRAINED = {"quantization": {"step": 0.8, "training": {"epochs": 1}}}
FOR_THE_FILE = "for the file"
FILE_RECIPE: dict[str, Any] = {
    "pruning": {"rounds": 1, "rate": 0},
    "retrain": {"epochs": 0},
    "quantization": {
        "method": "uniform",
        "step": 1.6,
        "granularity": "tensor",
        "bias_bits": 5,
        "training": {"augmentation": 0.3},
    },
}
"""Training for the file alone, out of a network that is not pruned; its epochs and its size are given with it."""
ROWS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rewind": {"retrain": {"rewind": True}},
    "distillation": TAUGHT,
    "gradual": GRADUAL,
    "and distillation": {**GRADUAL, **TAUGHT},
    "and trained levels": {**GRADUAL, **TAUGHT, **TRAINED},
    "coarse step": {"quantization": {"step": 0.8}},
    "trained levels": TRAINED,
    FOR_THE_FILE: FILE_RECIPE,
}
"""Name to what differs from the first; those that begin with ``and`` add to the one before."""


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Nested settings, those of ``changes`` before those of ``base``."""
    out = dict(base)
    for key, value in changes.items():
        out[key] = merged(out.get(key, {}), value) if isinstance(value, dict) else value
    return out


def size_on_front(points: list[OperatingPoint], accuracy: float) -> float | None:
    """Bytes at which the front of some files passes through an accuracy, linear between two; ``None`` outside of it."""
    front: list[OperatingPoint] = []
    for point in sorted(points, key=lambda point: (point.size_bytes, -point.val_accuracy)):
        if not front or point.val_accuracy > front[-1].val_accuracy:
            front.append(point)
    for small, large in pairwise(front):
        if small.val_accuracy <= accuracy <= large.val_accuracy:
            share = (accuracy - small.val_accuracy) / (large.val_accuracy - small.val_accuracy)
            return small.size_bytes + share * (large.size_bytes - small.size_bytes)
    return None


def recipes_of(row: str, base: dict[str, Any], targets: Sequence[int], epochs: float) -> list[dict[str, Any]]:
    """The trials of a row of `ROWS`: one, or one for each size in bytes for which ``epochs`` epochs train."""
    recipe = merged(base, ROWS[row])
    if row != FOR_THE_FILE:
        return [recipe]
    return [
        merged(recipe, {"quantization": {"training": {"epochs": epochs, "target_bytes": target}}}) for target in targets
    ]


def main() -> None:
    """Run all rows."""
    parser = task_parser(__doc__)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--step", type=float, default=0.3)
    parser.add_argument("--targets", type=int, nargs="+", default=[500, 700, 1000, 1400, 2000], help="bytes")
    parser.add_argument("--file-epochs", type=float, default=20, help="of training for the file")
    parser.add_argument("--set", default="{}", help="further settings of every row, as YAML")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    task = given_task(arguments)
    baseline = measure_baseline(task)
    print(machine())
    print(f"{task.name}: dense {task.score_text(baseline.accuracy)}")
    base = {
        "pruning": {"rounds": arguments.rounds, "rate": arguments.rate},
        "retrain": {"epochs": arguments.epochs, "lr": arguments.lr},
        "quantization": {"step": arguments.step, "bias_bits": 6},
    }
    base = merged(base, yaml.safe_load(arguments.set))
    table = []
    for name in arguments.rows:
        points = []
        for recipe in recipes_of(name, base, arguments.targets, arguments.file_epochs):
            for point in compress(task, recipe, seed=arguments.seed, device="cpu", baseline=baseline):
                points.append(point)
                print(
                    f"  {name:20} round {point.round}: {point.size_bytes:7,} bytes, {point.val_accuracy:.4f}, "
                    f"sparsity {point.sparsity:.4f}, {point.seconds:.1f} s",
                    flush=True,
                )
        sizes = [size_on_front(points, baseline.accuracy - drop) for drop in DROPS]
        seconds = sum(point.seconds for point in points) / len(points)
        table.append(
            f"{name:20}" + "".join(f"{size / 1000:9.2f}" if size else f"{'-':>9}" for size in sizes) + f"{seconds:9.1f}"
        )
    print(f"\n{'kB at a drop of':20}" + "".join(f"{100 * drop:7.1f} p" for drop in DROPS) + "  s/round")
    print("\n".join(table))


if __name__ == "__main__":
    main()
