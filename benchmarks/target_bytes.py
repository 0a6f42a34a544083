"""Training for the file: what it lands on, and what each mechanism is worth.

    python -m benchmarks.target_bytes --network lenet300 --dataset mnist --validation 5000 --targets 1500 3000 8000
    python -m benchmarks.target_bytes --targets 1000 --without slicing augmentation steps

Every row is one trial without pruning before it: bytes beside the target, validation error beside the dense network's,
and seconds of processor time. ``--without`` adds rows in which one mechanism is left out. The test split is not read.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.machine import machine
from benchmarks.retraining import merged
from rdsearch.compression.measure import measure_baseline
from rdsearch.compression.packing import pack
from rdsearch.compression.packing.order import Order
from rdsearch.compression.rounds import compress
from rdsearch.retraining.rate import coded, steering
from rdsearch.retraining.rate.price import priced
from rdsearch.retraining.rate.state import Trained
from rdsearch.tasks.loading import load_task
from rdsearch.tasks.settings import TaskConfig

RECIPE: dict[str, Any] = {
    "pruning": {"rounds": 1, "rate": 0},
    "retrain": {"epochs": 0},
    "quantization": {"method": "uniform", "step": 1.6, "granularity": "tensor", "bias_bits": 5},
}
WITHOUT: dict[str, Callable[[], Any]] = {
    "slicing": lambda: patch.object(Trained, "cut", lambda self: None),
    "rows and columns": lambda: patch.object(coded, "priced", lambda values, axes: priced(values, None)),
    "learnt steps": lambda: patch.object(coded, "STEP_LR", 0.0),
    "order of channels": lambda: patch.object(pack, "cheapest_order", lambda *_: Order()),
    "a steep start": lambda: patch.object(steering, "POWER", (2.0, 2.0)),
}
"""What is left out; augmentation is a setting."""


@contextlib.contextmanager
def without(name: str | None) -> Iterator[None]:
    """Run with one mechanism left out."""
    with WITHOUT[name]() if name in WITHOUT else contextlib.nullcontext():
        yield


def main() -> None:
    """Run all rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="digits_cnn")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--validation", type=int, default=360)
    parser.add_argument("--targets", type=int, nargs="+", default=[500, 1000, 2000])
    parser.add_argument("--epochs", type=float, default=40)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--augmentation", type=float, default=0.3)
    parser.add_argument("--without", nargs="*", choices=[*WITHOUT, "augmentation"], default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    task = load_task(TaskConfig(network=arguments.network, dataset=arguments.dataset, validation=arguments.validation))
    baseline = measure_baseline(task)
    print(machine())
    print(f"{task.name}: dense error {1 - baseline.accuracy:.2%}, {arguments.epochs:g} epochs")
    print(f"{'left out':20}{'seed':>5}{'target':>8}{'bytes':>8}{'beside it':>11}{'error':>8}{'cpu s':>8}")
    for name in (None, *arguments.without):
        augmentation = 0.0 if name == "augmentation" else arguments.augmentation
        for seed in arguments.seeds:
            for target in arguments.targets:
                training = {
                    "target_bytes": target,
                    "epochs": arguments.epochs,
                    "batch_size": arguments.batch_size,
                    "lr": arguments.lr,
                    "augmentation": augmentation,
                }
                recipe = merged(RECIPE, {"quantization": {"training": training}})
                started = time.process_time()
                with without(name):
                    (point,) = compress(task, recipe, seed=seed, device="cpu", baseline=baseline)
                print(
                    f"{name or '-':20}{seed:5}{target:8,}{point.size_bytes:8,}{point.size_bytes / target - 1:11.2%}"
                    f"{1 - point.val_accuracy:8.2%}{time.process_time() - started:8.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
