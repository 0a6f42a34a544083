"""Sizes of real files by quantisation method: ``python -m benchmarks.quantization [--quick] [--network ...]``.

No retraining. Each method quantises the dense network at several steps, with and without matching batch normalisation
to the float network's statistics (1 024 calibration images); each file is decoded and its accuracy measured on test
images. The table has the size at which the accuracy has dropped by 1, 2 and 5 points, between the two files nearest.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from rdsearch.compression import dense_network
from rdsearch.pack import pack
from rdsearch.pruning.prune import prune
from rdsearch.pruning.weights import prunable_weights
from rdsearch.quantization import METHODS
from rdsearch.rdz import load
from rdsearch.recipe import QuantizationRecipe
from rdsearch.tasks.config import TaskConfig
from rdsearch.tasks.loading import load_task
from rdsearch.tasks.splits import Split
from rdsearch.tasks.task import Task

DROPS = (0.01, 0.02, 0.05)
CALIBRATION = 1024
ROWS = ("uniform", "magnitude", "rate_aware", "hessian", "sequential")
"""Methods, and rounding to nearest after magnitude pruning to half of the weights."""
STEPS = {"uniform": (0.4, 2.4), "magnitude": (0.4, 2.4), "rate_aware": (0.3, 1.6), "hessian": (0.9, 8.0)}
STEPS["sequential"] = STEPS["hessian"]
PRUNED = 0.5
Point = tuple[float, int, float]


def machine() -> str:
    """Processor, cores and versions, in a line."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")]
    processor = names[0] if names else platform.processor()
    return f"{processor}, {os.cpu_count()} cores; Python {platform.python_version()}, torch {torch.__version__}"


def points(
    task: Task, network: nn.Module, method: str, matched: bool, count: int, calibration: torch.Tensor, test: Split
) -> Iterator[Point]:
    """(step, bytes, accuracy) from fine to coarse, until the accuracy has dropped for good."""
    dense = task.score(network, split=test)
    for step in np.geomspace(*STEPS[method], count):
        settings = QuantizationRecipe(
            method=method if method in METHODS else "uniform", step=float(step), reestimate_batchnorm=matched
        )
        started = time.perf_counter()
        data = pack(network, task.fresh_network, settings, [calibration], network_id=task.network_id)
        seconds = time.perf_counter() - started
        accuracy = task.score(load(data, into=task.fresh_network()), split=test)
        print(
            f"  {method:10} {matched!s:5} step {step:.3f}: {len(data):7,} bytes, {accuracy:.4f}, {seconds:.1f} s",
            flush=True,
        )
        yield float(step), len(data), accuracy
        if accuracy < dense - 2 * DROPS[-1]:
            return


def size_at(curve: list[Point], accuracy: float) -> float | None:
    """Bytes at which the curve, from fine to coarse, last passes through an accuracy; linear between two files."""
    for (_, fine, above), (_, coarse, below) in zip(reversed(curve[:-1]), reversed(curve[1:]), strict=True):
        if above >= accuracy > below:
            return coarse + (fine - coarse) * (accuracy - below) / (above - below)
    return None


def pruned(network: nn.Module) -> nn.Module:
    """The network without its smallest weights, over all layers."""
    weights = prunable_weights(network)
    survivors = round((1 - PRUNED) * sum(weight.numel() for weight in weights.values()))
    with torch.no_grad():
        for name, mask in prune(weights, None, survivors, method="global").items():
            weights[name].mul_(mask)
    return network


def main() -> None:
    """Run all rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="digits_cnn")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument(
        "--imagenet-statistics", action="store_true", help="normalise images by ImageNet's mean and std"
    )
    parser.add_argument("--images", type=int, default=4000, help="test images, the first so many")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--steps", type=int, default=10, help="files a row")
    parser.add_argument("--quick", action="store_true", help="three files a row")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    statistics = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]} if arguments.imagenet_statistics else {}
    task = load_task(
        TaskConfig(
            network=arguments.network,
            dataset=arguments.dataset,
            checkpoint=arguments.checkpoint,
            options={"dataset": statistics},
        )
    )
    test = task.test_split()
    test = test.subset(np.arange(min(arguments.images, len(test))))
    chosen = np.random.default_rng(0).choice(len(task.train), min(CALIBRATION, len(task.train)), replace=False)
    calibration, _ = next(iter(task.train.subset(np.sort(chosen)).batches(CALIBRATION)))
    dense = task.score(dense_network(task), split=test)
    print(f"{task.name}: dense accuracy {dense:.4f} on {len(test)} test images")
    table: list[str] = []
    for method in arguments.rows:
        network = pruned(dense_network(task)) if method == "magnitude" else dense_network(task)
        for matched in (False, True):
            curve = list(
                points(task, network, method, matched, 3 if arguments.quick else arguments.steps, calibration, test)
            )
            sizes = [size_at(curve, dense - drop) for drop in DROPS]
            cells = "".join(f"{size / 1000:9.1f}" if size else f"{'-':>9}" for size in sizes)
            table.append(f"{method:12}{'matched' if matched else 'as it was':>18}{cells}")
    print(f"\nkB at a drop of\n{'method':12}{'batch norm':>18}" + "".join(f"{100 * drop:7.0f} p" for drop in DROPS))
    print("\n".join(table))


if __name__ == "__main__":
    main()
