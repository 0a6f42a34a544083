"""The registered networks and tasks in figures: parameters, accuracies, times of an evaluation and of an epoch.

    python benchmarks/tasks.py                                   every registered network: parameters
    python benchmarks/tasks.py --speed                           the same with times, on random inputs
    python benchmarks/tasks.py --task digits --task mine.yaml    dense accuracies and times of tasks

`--speed` times a few batches and scales them up to an evaluation of 5 000 examples and an epoch of 45 000. `--task`
takes ready search files and paths of search or task files; it trains the dense network where it is not in the cache.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from rdsearch.base.device import choose_device
from rdsearch.compression.measure import dense_network
from rdsearch.config.ready import find_space
from rdsearch.config.searchfile import load_task_file
from rdsearch.pruning.weights import prunable_weights
from rdsearch.tasks import NETWORKS, load_task
from rdsearch.tasks.evaluation import accuracy, accuracy_text
from rdsearch.tasks.networks.identity import build_network
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.splits import ArraySplit, Split
from rdsearch.tasks.training.train import train

GREY_DIGITS, GREY, COLOUR = (1, 8, 8), (1, 28, 28), (3, 32, 32)
INPUTS = {"digits_cnn": GREY_DIGITS, "lenet300": GREY, "lenet5_caffe": GREY}
EVALUATED, TRAINED = 5_000, 45_000
SECONDS = 4.0


def seconds_per_example(run: Callable[[int], None], first: int = 128) -> float:
    """Time of ``run(examples)`` for one example, with enough of them to last."""
    examples = first
    run(examples)  # warm
    while True:
        start = time.perf_counter()
        run(examples)
        passed = time.perf_counter() - start
        if passed > SECONDS / 4:
            return passed / examples
        examples *= 4


def speed(network: torch.nn.Module, shape: tuple[int, ...], device: torch.device) -> tuple[float, float]:
    """Seconds of an evaluation and of an epoch on random images."""
    settings = TrainingConfig(epochs=1, lr=1e-4, optimizer="sgd")

    def split(examples: int) -> Split:
        rng = np.random.default_rng(0)
        return ArraySplit(rng.integers(0, 256, (examples, *shape), dtype=np.uint8), np.arange(examples) % 10)

    evaluated = seconds_per_example(lambda examples: (accuracy(network, split(examples), device=device), None)[1])
    trained = seconds_per_example(lambda examples: train(network, split(examples), settings, device=device))
    return evaluated * EVALUATED, trained * TRAINED


def show_networks(*, timed: bool) -> None:
    device = choose_device()
    times = f" evaluation of {EVALUATED} (s) | epoch of {TRAINED} (s) |" if timed else ""
    print(f"| network | input | parameters | prunable | in layers |{times}")
    print("|---|---|---|---|---|" + ("---|---|" if timed else ""))
    for name in NETWORKS:
        network = build_network(name)
        shape = INPUTS.get(name, COLOUR)
        count = sum(parameter.numel() for parameter in network.parameters())
        prunable = prunable_weights(network)
        row = f"| `{name}` | {' × '.join(map(str, shape))} | {count:,} | "
        row += f"{sum(weight.numel() for weight in prunable.values()):,} | {len(prunable)} |"
        if timed:
            evaluation, epoch = speed(network, shape, device)
            row += f" {evaluation:.2f} | {epoch:.1f} |"
        print(row.replace(",", " "), flush=True)


def show_task(name: str) -> None:
    device = choose_device()
    task = load_task(load_task_file(find_space(name)))
    trained: list[float] = []
    task.dense_state(progress=lambda epoch: trained.append(epoch.seconds))
    network = dense_network(task).to(device)
    parts = {"validation": task.validation, **({"test": task.test_split()} if task.has_test else {})}
    for role, split in parts.items():
        start = time.perf_counter()
        score = task.score(network, device=device, split=split)
        passed = time.perf_counter() - start
        print(f"{task.name}, {role}: {accuracy_text(score, len(split), task.is_accuracy)}, {passed:.2f} s", flush=True)
    if trained:
        print(f"{task.name}: {len(trained)} epochs of {len(task.train)} examples, {np.median(trained):.2f} s each")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--task", action="append", default=[], metavar="FILE")
    arguments = parser.parse_args()
    if not arguments.task:
        show_networks(timed=arguments.speed)
    for name in arguments.task:
        show_task(name)


if __name__ == "__main__":
    main()
