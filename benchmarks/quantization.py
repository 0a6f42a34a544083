"""Real files by quantisation method: ``python -m benchmarks.quantization [--network ...]``; see ``--help``.

No retraining. Each method writes files of the dense network at several steps, with and without matching batch
normalisation to the float network's statistics (1 024 training images). Files are decoded, measured on a validation
part, and for each bound on the accuracy's drop there the smallest is selected. At the end the test split is read once,
for the selected files alone. Accuracy on a few thousand images is a noisy guide to a method, so a second table has the
bytes at which the outputs diverge so much from the float network's (mean Kullback-Leibler divergence on the validation
part, nats), between the two files nearest to that.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from benchmarks.divergence import Reference, bytes_at
from benchmarks.given import given_task, task_parser
from benchmarks.machine import machine
from rdsearch.compression.loading import load
from rdsearch.compression.measure import dense_network
from rdsearch.compression.packing.pack import pack
from rdsearch.config.recipe import QuantizationRecipe
from rdsearch.pruning.prune import prune
from rdsearch.pruning.weights import prunable_weights
from rdsearch.quantization.batchnorm import batchnorm_layers
from rdsearch.tasks.splits import Split
from rdsearch.tasks.task import Task

DROPS = (0.01, 0.02, 0.05)
DIVERGENCES = (0.02, 0.05, 0.1, 0.2)
CALIBRATION = 1024
GIVE_UP = 0.1
"""Steps are made coarser until the accuracy has dropped by more than this."""
FURTHER = 5
"""Steps that are added to either end at most, where the accuracy has not passed all bounds yet."""
COARSEST = 10.0
"""The largest step that a recipe allows."""


@dataclass(frozen=True)
class Row:
    """A method, the sparsities that the network is pruned to before by magnitude, and the steps to begin with."""

    method: str
    steps: tuple[float, ...]
    sparsities: tuple[float, ...] = (0.0,)


FINE, COARSE = tuple(np.geomspace(0.35, 1.4, 6)), tuple(np.geomspace(0.8, 4.0, 8))
ROWS = {
    "rounding": Row("uniform", FINE),
    "magnitude": Row("uniform", FINE, (0.2, 0.35, 0.5)),
    "rate_aware": Row("rate_aware", FINE),
    "hessian": Row("hessian", COARSE),
    "sequential": Row("sequential", COARSE),
}


@dataclass(frozen=True)
class File:
    """A file and how it does on the validation part."""

    step: float
    sparsity: float
    data: bytes
    accuracy: float
    divergence: float
    seconds: float


def explore(measure: Callable[[float], File], steps: tuple[float, ...], dense: float, refinements: int) -> list[File]:
    """Files from fine to coarse until the accuracy is gone, then some where it passes each of the bounds."""
    files: list[File] = []
    for step in steps:
        files.append(measure(step))
        if files[-1].accuracy < dense - GIVE_UP:
            break
    ratio = steps[1] / steps[0]
    for _ in range(FURTHER):
        if files[-1].accuracy >= dense - max(DROPS) and files[-1].step * ratio <= COARSEST:
            files.append(measure(files[-1].step * ratio))
        if files[0].accuracy < dense - min(DROPS):
            files.insert(0, measure(files[0].step / ratio))
    for drop in DROPS:
        for _ in range(refinements):
            step = between(files, dense - drop)
            if step is None:
                break
            files = sorted([*files, measure(step)], key=lambda file: file.step)
    return files


def between(files: list[File], floor: float) -> float | None:
    """The step at which a line through the last file above ``floor`` and the next passes it, if they are not near."""
    above = [place for place, file in enumerate(files) if file.accuracy >= floor]
    if not above or above[-1] + 1 == len(files):
        return None
    fine, coarse = files[above[-1]], files[above[-1] + 1]
    if coarse.step < 1.06 * fine.step:
        return None
    share = (fine.accuracy - floor) / (fine.accuracy - coarse.accuracy)
    return fine.step * (coarse.step / fine.step) ** min(max(share, 0.15), 0.85)


def smallest(files: list[File], floor: float) -> File | None:
    """The smallest file of at least this accuracy."""
    return min((file for file in files if file.accuracy >= floor), key=lambda file: len(file.data), default=None)


def pruned(network: nn.Module, sparsity: float) -> nn.Module:
    """The network without its smallest weights, over all layers."""
    weights = prunable_weights(network)
    survivors = round((1 - sparsity) * sum(weight.numel() for weight in weights.values()))
    with torch.no_grad():
        for name, mask in prune(weights, None, survivors, method="global").items():
            weights[name].mul_(mask)
    return network


def files_of(
    task: Task,
    reference: Reference,
    row: Row,
    matched: bool,
    calibration: torch.Tensor,
    refinements: int,
    granularity: Literal["network", "tensor", "sensitivity"],
) -> Iterator[File]:
    """The files of one row of the table, printed as they come."""
    for sparsity in row.sparsities:
        network = pruned(dense_network(task), sparsity) if sparsity else dense_network(task)

        def measure(step: float, network: nn.Module = network, sparsity: float = sparsity) -> File:
            settings = QuantizationRecipe(
                method=row.method, step=float(step), granularity=granularity, reestimate_batchnorm=matched
            )
            started = time.process_time()
            data = pack(network, task.fresh_network, settings, [calibration], network_id=task.network_id)
            seconds = time.process_time() - started
            accuracy, divergence = reference.compare(load(data, into=task.fresh_network()))
            print(
                f"  {row.method:10} {'matched' if matched else 'as it was':9} sparsity {sparsity:.2f} step {step:6.3f} "
                f"{len(data):9,} bytes, validation {accuracy:.4f}, {divergence:.4f} nats, {seconds:5.1f} s of CPU",
                flush=True,
            )
            return File(float(step), sparsity, data, accuracy, divergence, seconds)

        yield from explore(measure, row.steps, reference.accuracy, refinements)


def main() -> None:
    """Run all rows."""
    parser = task_parser(__doc__)
    parser.add_argument(
        "--unseen",
        type=int,
        metavar="N",
        help="select on so many test images instead, and test on the others: for a checkpoint that was trained on the "
        "whole training split",
    )
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--matched-only", action="store_true", help="leave out the rows without matching")
    only.add_argument("--unmatched-only", action="store_true", help="leave out the rows with matching")
    parser.add_argument("--granularity", choices=("network", "tensor", "sensitivity"), default="network")
    parser.add_argument("--refinements", type=int, default=2, help="files more for each bound, at most")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(machine("torch", "numpy"))
    task = given_task(arguments)
    chosen = np.random.default_rng(0).choice(len(task.train), min(CALIBRATION, len(task.train)), replace=False)
    calibration, _ = next(iter(task.train.subset(np.sort(chosen)).batches(CALIBRATION)))
    validation, test = parts(task, arguments.unseen)
    reference = Reference(dense_network(task), validation)
    dense = reference.accuracy
    print(f"{task.name}: dense network, validation accuracy {dense:.4f} on {len(validation)} images")
    normalised = bool(batchnorm_layers(dense_network(task)))
    ways = [matched for matched in (False, True) if not (arguments.matched_only, arguments.unmatched_only)[matched]]
    ways = ways if normalised else [True]
    files = {
        (name, matched): list(
            files_of(task, reference, ROWS[name], matched, calibration, arguments.refinements, arguments.granularity)
        )
        for name in arguments.rows
        for matched in ways
    }
    report(task, test(), {row: select(found, dense) for row, found in files.items()}, normalised)
    print("\nBytes at a divergence of so many nats")
    print(f"{'':23}" + "".join(f"{divergence:>10g}" for divergence in DIVERGENCES))
    for (name, matched), found in files.items():
        sizes = [bytes_at([(len(file.data), file.divergence) for file in found], wanted) for wanted in DIVERGENCES]
        print(f"{name:12}{way(matched, normalised):>11}" + "".join(f"{size or math.nan:10,.0f}" for size in sizes))


Selected = dict[float, File | None]


def select(files: list[File], dense: float) -> Selected:
    """For each bound on the drop the smallest file that keeps it."""
    return {drop: smallest(files, dense - drop) for drop in DROPS}


def parts(task: Task, unseen: int | None) -> tuple[Split, Callable[[], Split]]:
    """The validation part, and what reads the test part."""
    if unseen is None:
        return task.validation, task.test_split
    images = task.test_split()
    order = np.random.default_rng(0).permutation(len(images))
    return images.subset(np.sort(order[:unseen])), lambda: images.subset(np.sort(order[unseen:]))


def report(task: Task, test: Split, selected: dict[tuple[str, bool], Selected], normalised: bool) -> None:
    """Read the test split, for the selected files, and print the table."""
    dense = task.score(dense_network(task), split=test)
    error = math.sqrt(dense * (1 - dense) / len(test))
    print(f"\nTest accuracy of the dense network {dense:.4f} on {len(test)} images, standard error {error:.4f}")
    print("Bytes of the smallest file whose validation accuracy drops by at most so much, and its drop in the test")
    bounds = "".join(f"{f'{100 * drop:g} points':>24}" for drop in DROPS)
    print(f"{'':12}{'batch norm':>11}{bounds}{'CPU s a file':>14}")
    for (name, matched), files in selected.items():
        cells = ""
        for file in files.values():
            if file is None:
                cells += f"{'-':>24}"
                continue
            accuracy = task.score(load(file.data, into=task.fresh_network()), split=test)
            cells += f"{len(file.data):>13,} ({100 * (dense - accuracy):+5.2f} p)"
        seconds = np.median([file.seconds for file in files.values() if file is not None] or [math.nan])
        print(f"{name:12}{way(matched, normalised):>11}{cells}{seconds:14.1f}", flush=True)


def way(matched: bool, normalised: bool) -> str:
    """What was done about batch normalisation, in words."""
    return ("matched" if matched else "as it was") if normalised else "none"


if __name__ == "__main__":
    main()
