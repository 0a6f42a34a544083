"""What a quantiser is worth inside a search: ``python -m benchmarks.quantizers_in_trials [SPACE] [--trials N]``.

Trials of a ready search file, drawn at random. Every round is pruned and retrained once, and then written by each
method, so that the methods differ in nothing else. Printed for each seed: the hypervolume of each method's front within
the search file's bound (octaves of compression times accuracy above the bound), and that of a search that draws the
method for each trial; then seconds of CPU a file.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict

import numpy as np
import torch

from benchmarks.machine import machine
from rdsearch.compression.loading import load
from rdsearch.compression.measure import Baseline, dense_network, measure_baseline
from rdsearch.compression.packing.pack import pack
from rdsearch.compression.rounds import rounds
from rdsearch.config.ready import find_space
from rdsearch.config.recipe import Recipe
from rdsearch.config.searchfile import load_search_file
from rdsearch.points.front import hypervolume
from rdsearch.points.point import OperatingPoint
from rdsearch.tasks.loading import load_task
from rdsearch.tasks.task import Task

STEPS = {"uniform": (0.2, 1.2), "rate_aware": (0.2, 1.2), "sequential": (0.8, 5.0)}
"""Ranges in which each method's files have about the same sizes."""
COMMON = (0.2, 5.0)
"""The range of a search that draws the method, too."""


def files(task: Task, recipe: Recipe, baseline: Baseline, steps: dict[str, float], seed: int):
    """(method, point, seconds) of every round of one trial."""
    count = min(recipe.quantization.calibration, len(task.train))
    chosen = np.sort(np.random.default_rng(seed).choice(len(task.train), count, replace=False))
    calibration, _ = next(iter(task.train.subset(chosen).batches(count)))
    for _, checkpoint in rounds(task, recipe, seed=seed, device="cpu", baseline=baseline):
        network = dense_network(task, checkpoint.state)
        for name, step in steps.items():
            method = {"method": name.partition(" ")[0], "step": step, "reestimate_batchnorm": True}
            settings = recipe.quantization.model_copy(update=method)
            started = time.process_time()
            data = pack(network, task.fresh_network, settings, [calibration], network_id=task.network_id)
            seconds = time.process_time() - started
            accuracy = task.score(load(data, into=task.fresh_network()))
            yield (
                name,
                OperatingPoint(len(data), accuracy, baseline.accuracy - accuracy, 1.0, 0.0, 0.0, 0.0, 0),
                seconds,
            )


def main() -> None:
    """Run the trials of every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space", nargs="?", default="digits")
    parser.add_argument("--trials", type=int, default=12, help="trials a seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(machine("torch", "numpy"))
    file = load_search_file(find_space(arguments.space))
    if file.task is None:
        parser.error(f"{arguments.space} has no task")
    task = load_task(file.task)
    baseline = measure_baseline(task)
    bound = file.search.constraints["accuracy_drop"]
    print(f"{file.name}: {arguments.trials} trials a seed, dense accuracy {baseline.accuracy:.4f}, bound {bound}")
    volumes: dict[str, list[float]] = defaultdict(list)
    costs: dict[str, list[float]] = defaultdict(list)
    for seed in arguments.seeds:
        generator = np.random.default_rng(seed)
        points: dict[str, list[OperatingPoint]] = defaultdict(list)
        for trial in range(arguments.trials):
            drawn = {name: domain.at(generator.random()) for name, domain in file.space.parameters.items()}
            fraction, pick = generator.random(2)
            steps = {name: low * (high / low) ** fraction for name, (low, high) in STEPS.items()}
            method = list(STEPS)[int(pick * len(STEPS))]
            steps[f"{method} drawn"] = COMMON[0] * (COMMON[1] / COMMON[0]) ** fraction
            # The trial's own file is not looked at: the quickest method makes it.
            recipe = file.space.recipe(drawn)
            quick = recipe.quantization.model_copy(update={"method": "uniform", "reestimate_batchnorm": False})
            for name, point, seconds in files(
                task, recipe.model_copy(update={"quantization": quick}), baseline, steps, 1000 * seed + trial
            ):
                points["drawn" if name.endswith("drawn") else name].append(point)
                costs["drawn" if name.endswith("drawn") else name].append(seconds)
        for name, found in points.items():
            kept = [point for point in found if point.accuracy_drop <= bound]
            floor = baseline.accuracy - bound
            volume = hypervolume(kept, reference_size=baseline.size_bytes, reference_accuracy=floor)
            volumes[name].append(volume)
        print(f"seed {seed}: " + ", ".join(f"{name} {values[-1]:.4f}" for name, values in volumes.items()), flush=True)
    print(f"\n{'method':12}{'hypervolume':>12}{'least':>8}{'most':>8}{'CPU s a file':>14}")
    for name, values in volumes.items():
        print(f"{name:12}{np.mean(values):12.4f}{min(values):8.4f}{max(values):8.4f}{np.median(costs[name]):14.2f}")


if __name__ == "__main__":
    main()
