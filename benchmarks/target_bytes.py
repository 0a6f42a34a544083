"""Training for the file: what it lands on, and what each mechanism is worth.

    python -m benchmarks.target_bytes --network lenet300 --dataset mnist --validation 5000 --targets 1500 3000 8000
    python -m benchmarks.target_bytes --targets 1000 --without slicing augmentation "learnt steps"

Every row is one trial without pruning before it: bytes beside the target, validation error beside the dense network's,
and seconds of processor time. ``--without`` adds rows in which one mechanism is left out. The test split is not read.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.given import given_task, task_parser
from benchmarks.machine import machine
from benchmarks.retraining import FILE_RECIPE, merged
from rdsearch.compression.measure import measure_baseline
from rdsearch.compression.packing import order
from rdsearch.compression.packing.order import Order
from rdsearch.compression.rounds import compress
from rdsearch.quantization import METHODS
from rdsearch.retraining.rate import coded, steering
from rdsearch.retraining.rate.price import priced
from rdsearch.retraining.rate.state import Trained
from rdsearch.retraining.settings import LevelTraining

USUAL = FILE_RECIPE["quantization"]
TRAINING = LevelTraining.model_validate(USUAL["training"])
WITHOUT: dict[str, Callable[[], Any]] = {
    "slicing": lambda: patch.object(Trained, "cut", lambda self: None),
    "rows and columns": lambda: patch.object(coded, "priced", lambda values, axes: priced(values, None)),
    "learnt steps": lambda: patch.object(coded, "STEP_LR", 0.0),
    "order of channels": lambda: patch.object(order, "order_of", lambda *_: Order()),
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
    parser = task_parser(__doc__)
    parser.add_argument("--targets", type=int, nargs="+", default=[500, 1000, 2000])
    parser.add_argument("--epochs", type=float, default=40)
    parser.add_argument("--batch-size", type=int, default=TRAINING.batch_size)
    parser.add_argument("--lr", type=float, default=TRAINING.lr)
    parser.add_argument("--augmentation", type=float, default=TRAINING.augmentation)
    parser.add_argument("--method", choices=METHODS, default=USUAL["method"])
    parser.add_argument("--bias-bits", type=int, default=USUAL["bias_bits"])
    parser.add_argument("--distillation", type=float, default=0, help="share of the dense network in the loss")
    parser.add_argument("--without", nargs="*", choices=[*WITHOUT, "augmentation"], default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    task = given_task(arguments)
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
                recipe = merged(
                    FILE_RECIPE,
                    {
                        "retrain": {"distillation": {"weight": arguments.distillation}},
                        "quantization": {
                            "method": arguments.method,
                            "bias_bits": arguments.bias_bits,
                            "training": training,
                        },
                    },
                )
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
