"""Sizes of real files by what retraining does: ``python -m benchmarks.retraining [--network ...] [--rows ...]``.

Every row is one trial: the same rounds of pruning, one option of retraining or quantisation changed. The table has the
size at which the validation accuracy has dropped by 0.5, 1, 2 and 5 points from the dense network's, along the front
of the trial's files, linear between two of them. The test split is not read.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from typing import Any

import torch
import yaml

from benchmarks.quantization import machine
from rdsearch.compression.measure import measure_baseline
from rdsearch.compression.rounds import compress
from rdsearch.points.point import OperatingPoint
from rdsearch.tasks.loading import load_task
from rdsearch.tasks.settings import TaskConfig

DROPS = (0.005, 0.01, 0.02, 0.05)
TRAINED = {"quantization": {"training": {"epochs": 1, "lr": 1e-3}}}
NOISE = {"retrain": {"gates": {"method": "variational_dropout"}}}
GROUPED = {"retrain": {"penalty": {"method": "grouped", "weight": 8.0}}}
TAUGHT = {"retrain": {**GROUPED["retrain"], "distillation": {"weight": 0.7}}}
ROWS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rewind": {"retrain": {"rewind": True}},
    "l1": {"retrain": {"penalty": {"method": "l1"}}},
    "log_sum": {"retrain": {"penalty": {"method": "log_sum", "weight": 5.0}}},
    "funnel": {"retrain": {"penalty": {"method": "funnel", "weight": 10.0}}},
    "grouped": GROUPED,
    "gradual": {"pruning": {"gradual": 0.6}},
    "grouped and gradual": {**GROUPED, "pruning": {"gradual": 0.6}},
    "and distilled": {**TAUGHT, "pruning": {"gradual": 0.6}},
    "and trained levels": {
        **TAUGHT,
        "pruning": {"gradual": 0.6},
        "quantization": {"step": 0.8, **TRAINED["quantization"]},
    },
    "distillation": {"retrain": {"distillation": {"weight": 0.7}}},
    "hard_concrete": {"retrain": {"gates": {"method": "hard_concrete", "weight": 3.0}}},
    "variational_dropout": NOISE,
    "coarse step": {"quantization": {"step": 0.8}},
    "trained levels": {"quantization": {"step": 0.8, **TRAINED["quantization"]}},
    "both": {**NOISE, "quantization": {"step": 0.8, **TRAINED["quantization"]}},
}
"""Name to what differs from the first; ``both`` is variational dropout and trained levels."""


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


def main() -> None:
    """Run all rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="digits_cnn")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--validation", type=int, default=360)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--step", type=float, default=0.3)
    parser.add_argument("--set", default="{}", help="further settings of every row, as YAML")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    task = load_task(TaskConfig(network=arguments.network, dataset=arguments.dataset, validation=arguments.validation))
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
        for point in compress(task, merged(base, ROWS[name]), seed=arguments.seed, device="cpu", baseline=baseline):
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
