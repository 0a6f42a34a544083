"""Real searches through Ray, as `benchmarks.search` simulates them: ``python -m benchmarks.real_search [--seeds 10]``.

The ready search of digits, one trial at a time, the same number of trials for every contender: Ray Tune with
`OptunaSearch` as its documentation writes it, this project's search with its defaults, and the same with a random
sampler. All run the same rounds in the same Ray; the plain set-up's workers are kept from trial to trial as well, so
that starting them counts for nobody. Compute is the processor time of a trial's worker from one score to the next.

Each search's rounds are kept in ``--folder``; what is there is not run again.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import nn

import rdsearch
from benchmarks.curves import EVERY_ROUND, PLAIN, Curve, Step, curve, draw, show
from benchmarks.simulation import METRICS, MODES, tune_space
from rdsearch.compression.measure import Baseline, measure_baseline
from rdsearch.compression.rounds import compress
from rdsearch.config.ready import find_space
from rdsearch.config.searchfile import SearchFile, load_search_file
from rdsearch.config.space import RecipeSpace
from rdsearch.points.point import OperatingPoint
from rdsearch.search.outcome.results import read_results
from rdsearch.search.run.session import ray_session
from rdsearch.tasks.evaluation import top1
from rdsearch.tasks.loading import load_task
from rdsearch.tasks.task import Task

CONTENDERS: Mapping[str, Sequence[str]] = {"the defaults": (), "random": ("search.sampler=random",)}
"""Overrides of the search file by contender."""
MEASURED = ("trial", "round", "size_bytes", "val_accuracy")
COLUMNS = (*MEASURED, "seconds")
Row = dict[str, float]


@dataclass(frozen=True)
class Clocked:
    """Top-1 accuracy, and a line in a file for each network that was scored: process, and its processor time."""

    log: Path

    def __call__(self, network: nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> float:
        accuracy = top1(network, batches)
        with self.log.open("a") as file:
            file.write(f"{os.getpid()} {time.process_time()}\n")
        return accuracy


def clocked_task(file: SearchFile, log: Path) -> Task:
    """The search's task, its scores noted in ``log``."""
    task = load_task(file.task)  # type: ignore[arg-type]
    task.dense_state()
    task._evaluation = Clocked(log)
    return task


def plain(file: SearchFile, task: Task, baseline: Baseline, trials: int, seed: int, folder: Path) -> list[Row]:
    """Ray Tune with `OptunaSearch`: two metrics, their modes, a space, a number of samples."""
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    results = tune.Tuner(
        tune.with_parameters(plain_trial, task=task.for_search(), space=file.space, baseline=baseline, trial_seed=seed),
        param_space=tune_space(file.space),
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(metric=list(METRICS), mode=list(MODES), seed=seed),
            num_samples=trials,
            max_concurrent_trials=1,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    ).fit()
    return [{"trial": trial, **row} for trial, result in enumerate(results) for row in result.metrics["rounds"]]


def plain_trial(config: dict[str, Any], task: Task, space: RecipeSpace, baseline: Baseline, trial_seed: int) -> None:
    """What Tune calls: every round is reported, and with it those before it."""
    from ray import tune

    torch.set_num_threads(1)
    rounds: list[Row] = []
    for point in compress(task, space.recipe(config), seed=trial_seed, device="cpu", baseline=baseline):
        rounds.append({name: getattr(point, name) for name in MEASURED[1:]})
        tune.report({name: getattr(point, name) for name in METRICS} | {"rounds": list(rounds)})


def ours(space: Path, task: Task, overrides: Sequence[str], trials: int, seed: int, folder: Path) -> list[Row]:
    """This project's search."""
    rdsearch.search(
        space,
        task=task,
        out=folder,
        trials=trials,
        overrides=(f"search.seed={seed}", "resources.concurrent=1", *overrides),
        console=Console(quiet=True),
    )
    return [{name: getattr(point, name) for name in MEASURED} for point in read_results(folder).points]


def with_processor_time(rows: Sequence[Row], log: Path) -> list[Row]:
    """The rows with the processor time of each round; a worker's first, which starts it too, counts as the median."""
    lines = [line.split() for line in log.read_text().splitlines()]
    marks = [(process, float(seconds)) for process, seconds in lines if int(process) != os.getpid()]
    before: dict[str, float] = {}
    spent = []
    for process, seconds in marks:
        spent.append(seconds - before.get(process, math.nan))
        before[process] = seconds
    typical = float(np.nanmedian(spent))
    return [
        row | {"seconds": typical if math.isnan(seconds) else seconds} for row, seconds in zip(rows, spent, strict=True)
    ]


def run(space: Path, name: str, trials: int, seed: int) -> list[Row]:
    """One search's rounds, in the order in which they ended."""
    file = load_search_file(space)
    where = Path(tempfile.mkdtemp(prefix="rdsearch-real-"))
    try:
        log = where / "scores"
        task = clocked_task(file, log)
        baseline = measure_baseline(task)
        if name == PLAIN:
            rows = plain(file, task, baseline, trials, seed, where / "tune")
        else:
            rows = ours(space, task, CONTENDERS[name], trials, seed, where / "search")
        if len({row["trial"] for row in rows}) < trials:
            raise SystemExit("interrupted; what was finished is kept")
        return with_processor_time(rows, log)
    finally:
        shutil.rmtree(where)


def read(path: Path) -> list[Row]:
    with path.open(newline="") as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


def write(path: Path, rows: Sequence[Row]) -> None:
    draft = path.with_suffix(".draft")
    with draft.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    draft.replace(path)


def steps_of(rows: Sequence[Row], baseline: Baseline) -> list[Step]:
    """The rounds of a search with one worker, over the compute that it has spent."""
    spent = np.cumsum([row["seconds"] for row in rows])
    trials = [row["trial"] for row in rows] + [None]
    return [
        Step(float(seconds), point_of(row, baseline), last=trials[index + 1] != row["trial"])
        for index, (seconds, row) in enumerate(zip(spent, rows, strict=True))
    ]


def point_of(row: Row, baseline: Baseline) -> OperatingPoint:
    return OperatingPoint(
        size_bytes=int(row["size_bytes"]),
        val_accuracy=row["val_accuracy"],
        accuracy_drop=baseline.accuracy - row["val_accuracy"],
        compression_ratio=baseline.size_bytes / row["size_bytes"],
        sparsity=0.0,
        rate_bits_per_weight=0.0,
        seconds=row["seconds"],
        round=int(row["round"]),
        trial=int(row["trial"]),
    )


def compare(space: Path, trials: int, seeds: int, folder: Path) -> tuple[dict[str, list[Curve]], float]:
    """Every contender's curves, and the compute of the plain set-up."""
    folder.mkdir(parents=True, exist_ok=True)
    names = (PLAIN, *CONTENDERS)
    rows: dict[str, list[list[Row]]] = {name: [] for name in names}
    with ray_session(None):
        for seed in range(seeds):
            for name in names:
                path = folder / f"{name.replace(' ', '_')}-{trials}-{seed}.csv"
                if not path.exists():
                    write(path, run(space, name, trials, seed))
                rows[name].append(read(path))
                spent = sum(row["seconds"] for row in rows[name][-1])
                print(f"  seed {seed}, {name}: {spent:.0f} trial-seconds", file=sys.stderr, flush=True)
    file = load_search_file(space)
    baseline = measure_baseline(load_task(file.task))  # type: ignore[arg-type]
    curves: dict[str, list[Curve]] = {PLAIN: [], EVERY_ROUND: [], **{name: [] for name in CONTENDERS}}
    for name in names:
        for each in rows[name]:
            steps = steps_of(each, baseline)
            curves[EVERY_ROUND if name == PLAIN else name].append(curve(steps, baseline, file.search.constraints))
            if name == PLAIN:
                last = [step for step in steps if step.last]
                curves[PLAIN].append(curve(last, baseline, file.search.constraints))
    return curves, float(np.median([sum(row["seconds"] for row in each) for each in rows[PLAIN]]))


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", default="digits", help="a search file, or the name of a ready one")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--folder", type=Path, help="where the rounds of the searches are kept")
    parser.add_argument("--figure", type=Path, help="where to draw the contenders")
    arguments = parser.parse_args()
    space = Path(find_space(arguments.space))
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="rdsearch-real-"))
    curves, total = compare(space, arguments.trials, arguments.seeds, folder)
    print(f"{space.stem}, {arguments.trials} trials, {arguments.seeds} seeds; plain set-up: {total:.0f} trial-seconds")
    show(curves, total)
    if arguments.figure:
        draw(curves, total, arguments.figure, f"{space.stem}, real searches: median and quartiles")


if __name__ == "__main__":
    main()
