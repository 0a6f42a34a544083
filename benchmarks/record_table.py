"""Record every round of every recipe of a grid: ``python -m benchmarks.record_table benchmarks/tables/digits.yaml``.

The table lies beside the search file, as ``.csv.gz``: one row a recipe and round, as a search would have measured it.
`benchmarks.search` searches in it, so that hundreds of searches take seconds. Recipes that differ in their
quantisation alone share the pruning and retraining of their rounds. Seconds are processor time of one thread. What a
table has already is not run again.

``--sobol 400`` records so many scattered recipes instead, for spaces of too many dimensions for a grid.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import itertools
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rdsearch.base.files import write_atomically
from rdsearch.compression.checkpoint import Checkpoint
from rdsearch.compression.loading import load
from rdsearch.compression.measure import Baseline, dense_network, measure_baseline
from rdsearch.compression.packing.pack import pack
from rdsearch.compression.rounds import rounds
from rdsearch.config.recipe import Recipe
from rdsearch.config.searchfile import SearchFile, load_search_file
from rdsearch.points.point import Scalar
from rdsearch.tasks.loading import load_task
from rdsearch.tasks.task import Task

ROUNDS = "pruning.rounds"
MEASURED = ("round", "size_bytes", "val_accuracy", "seconds")


def grid(file: SearchFile) -> Iterator[dict[str, Scalar]]:
    """Every combination of the grid, those of one pruning and retraining together; rounds as many as there may be."""
    values = {name: domain.grid() for name, domain in file.space.parameters.items()}
    values[ROUNDS] = (max(values[ROUNDS]),)
    ordered = sorted(values, key=lambda name: name.startswith("quantization."))
    for chosen in itertools.product(*(values[name] for name in ordered)):
        yield dict(zip(ordered, chosen, strict=True))


class Chain:
    """The rounds of all recipes that differ in their quantisation alone."""

    def __init__(self, task: Task, recipe: Recipe, baseline: Baseline, seed: int) -> None:
        self._task, self._seed = task, seed
        self._checkpoints: list[tuple[Checkpoint, float]] = []
        started = time.process_time()
        cheap = recipe.model_copy(update={"quantization": recipe.quantization.model_copy(update={"method": "uniform"})})
        for _, checkpoint in rounds(task, cheap, seed=seed, device="cpu", baseline=baseline):
            # A file is written and measured in there too, as it is in a trial.
            self._checkpoints.append((checkpoint, time.process_time() - started))
            started = time.process_time()

    def rows(self, recipe: Recipe) -> Iterator[tuple[int, int, float, float]]:
        """(round, bytes, accuracy, seconds) of one recipe."""
        settings, task = recipe.quantization, self._task
        count = min(settings.calibration, len(task.train))
        chosen = np.sort(np.random.default_rng(self._seed).choice(len(task.train), count, replace=False))
        inputs = [batch for batch, _ in task.train.subset(chosen).batches(count, device="cpu")]
        for checkpoint, seconds in self._checkpoints:
            network = dense_network(task, checkpoint.state)
            data = pack(network, task.fresh_network, settings, inputs, network_id=task.network_id)
            accuracy = task.score(load(data, into=task.fresh_network()))
            yield checkpoint.round, len(data), accuracy, seconds


def record(file: SearchFile, table: Path, every: int, offset: int) -> None:
    """Fill the table, a chain at a time."""
    task = load_task(file.task)
    task.dense_state()
    task = task.for_search()
    baseline = measure_baseline(task)
    print(f"{task.name}: accuracy {baseline.accuracy:.4f}, {baseline.size_bytes} bytes", flush=True)
    combinations = list(grid(file))
    names = [name for name in combinations[0] if name != ROUNDS]
    rows = read(table) if table.exists() else []
    known = {tuple(row[name] for name in names) for row in rows}
    chains: dict[Any, list[dict[str, Scalar]]] = {}
    for parameters in combinations:
        key = tuple(value for name, value in parameters.items() if not name.startswith("quantization."))
        chains.setdefault(key, []).append(parameters)
    # Compilers and caches are warm in all but the first round of a process, which is none of a recipe's doing.
    next(rounds(task, file.space.recipe(combinations[0]), device="cpu", baseline=baseline))
    for number, members in enumerate(chains.values()):
        missing = [p for p in members if tuple(_text(p[name]) for name in names) not in known]
        if not missing or number % every != offset:
            continue
        chain = Chain(task, file.space.recipe(missing[0]), baseline, file.search.seed)
        for parameters in missing:
            fixed = {name: _text(parameters[name]) for name in names}
            for measured in chain.rows(file.space.recipe(parameters)):
                texts = (str(measured[0]), str(measured[1]), f"{measured[2]:.6g}", f"{measured[3]:.3f}")
                rows.append(fixed | dict(zip(MEASURED, texts, strict=True)))
        write(table, rows, [*names, *MEASURED])
        print(f"{number + 1} of {len(chains)}", flush=True)


def record_scattered(file: SearchFile, table: Path, count: int) -> None:
    """Fill the table with scrambled Sobol points of the space, in their order: the first so many are spread evenly."""
    from scipy.stats import qmc

    task = load_task(file.task)
    task.dense_state()
    task = task.for_search()
    baseline = measure_baseline(task)
    print(f"{task.name}: accuracy {baseline.accuracy:.4f}, {baseline.size_bytes} bytes", flush=True)
    domains = file.space.parameters
    fractions = qmc.Sobol(len(domains), seed=file.search.seed).random_base2(math.ceil(math.log2(count)))[:count]
    recipes = [
        {name: domain.at(float(at)) for (name, domain), at in zip(domains.items(), point, strict=True)}
        for point in fractions
    ]
    rows = read(table) if table.exists() else []
    next(rounds(task, file.space.recipe(recipes[0]), device="cpu", baseline=baseline))  # warm, as above
    for place in range(len({row["recipe"] for row in rows}), count):
        fixed = {"recipe": str(place)} | {name: _text(value) for name, value in recipes[place].items()}
        started = time.process_time()
        for point, _ in rounds(task, file.space.recipe(recipes[place]), device="cpu", baseline=baseline):
            figures = (point.round, point.size_bytes, point.val_accuracy, time.process_time() - started)
            texts = (str(figures[0]), str(figures[1]), f"{figures[2]:.6g}", f"{figures[3]:.3f}")
            rows.append(fixed | dict(zip(MEASURED, texts, strict=True)))
            started = time.process_time()
        write(table, rows, ["recipe", *domains, *MEASURED])
        print(f"{place + 1} of {count}", flush=True)


def read(table: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with gzip.open(table, "rt", newline="") as stream:
        return list(csv.DictReader(stream))


def write(table: Path, rows: list[dict[str, str]], columns: list[str]) -> None:
    """Replace a table; the same rows give the same bytes."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(table, gzip.compress(text.getvalue().encode(), mtime=0))


def _text(value: Scalar) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Record a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("space", type=Path)
    parser.add_argument("--every", type=int, default=1, help="one part of so many")
    parser.add_argument("--offset", type=int, default=0, help="which part, from 0")
    parser.add_argument("--sobol", type=int, help="so many scattered recipes instead of a grid")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.sobol:
        record_scattered(load_search_file(arguments.space), arguments.space.with_suffix(".csv.gz"), arguments.sobol)
        return
    part = f".{arguments.offset}" if arguments.every > 1 else ""
    table = arguments.space.with_suffix(f"{part}.csv.gz")
    record(load_search_file(arguments.space), table, arguments.every, arguments.offset)


if __name__ == "__main__":
    main()
