"""Real searches through Ray, as `benchmarks.search` simulates them: ``python -m benchmarks.real_search [--seeds 10]``.

The ready search of digits, one trial at a time: Optuna's TPE used well, as in `benchmarks.peers`; Ray Tune with
`OptunaSearch` as its documentation writes it; this project's search with one sampler or another, which ends trials
early and so gets five trials where the others have three, for about the same compute. All run the same rounds in the
same Ray; the other set-ups' workers are kept from trial to trial as well, so that starting them counts for nobody.
Compute is the processor time of a trial's worker from one score to the next. Differences are taken seed by seed to the
contender of ``--against``, whose median compute counts as 1.

Each search's rounds are kept in ``--folder``; what is there is not run again.
"""

from __future__ import annotations

import argparse
import contextlib
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
from benchmarks.curves import EVERY_ROUND, PLAIN, Curve, Step, curve, draw, show, show_paired
from benchmarks.peers import PEERS
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

OURS: Mapping[str, Sequence[str]] = {
    "the defaults, tpe": ("search.sampler=tpe",),
    "curve": ("search.sampler=curve",),
    "random": ("search.sampler=random",),
}
"""Overrides of the search file by contender."""
MORE = 5 / 3
"""So many times the others' trials are ours, which end earlier."""
STRONGEST = "Optuna TPE"
DEFAULT = (STRONGEST, "the defaults, tpe", "curve")
MEASURED = ("trial", "round", "size_bytes", "val_accuracy")
COLUMNS = (*MEASURED, "seconds")
Row = dict[str, float]


@dataclass(frozen=True)
class Real:
    """A search file with what its dense network measures."""

    file: SearchFile
    baseline: Baseline


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
    from ray.tune.search.optuna import OptunaSearch

    search = OptunaSearch(metric=list(METRICS), mode=list(MODES), seed=seed)
    return tuned(search, tune_space(file.space), Real(file, baseline), task, trials, seed, folder)


def peer(name: str, real: Real, task: Task, trials: int, seed: int, folder: Path) -> list[Row]:
    """One of `benchmarks.peers` in Ray Tune; it is told of every round of a trial when the trial ends."""
    from ray.tune.search import Searcher

    asked = PEERS[name](real, seed)

    class Asking(Searcher):
        def __init__(self) -> None:
            super().__init__()
            self.numbers: dict[str, int] = {}

        def suggest(self, trial_id: str) -> dict[str, Any]:
            self.numbers[trial_id], recipe = asked.propose()
            return dict(recipe)

        def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
            number, rounds = self.numbers[trial_id], (result or {}).get("rounds", [])
            for place, row in enumerate(rounds, start=1):
                point = point_of(row | {"trial": number, "seconds": row["wall"]}, real.baseline)
                asked.report(number, point, last=place == len(rounds))
            asked.end(number)

        def save(self, checkpoint_path: str) -> None: ...

        def restore(self, checkpoint_path: str) -> None: ...

        def __getstate__(self) -> dict[str, Any]:
            return {}  # Tune pickles its searcher

    return tuned(Asking(), None, real, task, trials, seed, folder)


def tuned(
    search: Any, space: dict[str, Any] | None, real: Real, task: Task, trials: int, seed: int, folder: Path
) -> list[Row]:
    """Ray Tune with any searcher, its workers kept from trial to trial."""
    from ray import tune

    results = tune.Tuner(
        tune.with_parameters(
            plain_trial, task=task.for_search(), space=real.file.space, baseline=real.baseline, trial_seed=seed
        ),
        param_space=space,
        tune_config=tune.TuneConfig(search_alg=search, num_samples=trials, max_concurrent_trials=1, reuse_actors=True),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    ).fit()
    return [
        {"trial": trial} | {name: row[name] for name in MEASURED[1:]}
        for trial, result in enumerate(results)
        for row in result.metrics["rounds"]
    ]


def plain_trial(config: dict[str, Any], task: Task, space: RecipeSpace, baseline: Baseline, trial_seed: int) -> None:
    """What Tune calls: every round is reported, and with it those before it."""
    from ray import tune

    torch.set_num_threads(1)
    rounds: list[Row] = []
    for point in compress(task, space.recipe(config), seed=trial_seed, device="cpu", baseline=baseline):
        rounds.append({name: getattr(point, name) for name in MEASURED[1:]} | {"wall": point.seconds})
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
        elif name in OURS:
            rows = ours(space, task, OURS[name], trials, seed, where / "search")
        else:
            rows = peer(name, Real(file, baseline), task, trials, seed, where / "tune")
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


def compare(
    space: Path, names: Mapping[str, int], seeds: Sequence[int], folder: Path
) -> tuple[dict[str, list[Curve]], dict[str, float]]:
    """Every contender's curves, and its compute, given how many trials each has."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        (name, seed): folder / f"{name.replace(' ', '_').replace(',', '')}-{trials}-{seed}.csv"
        for seed in seeds
        for name, trials in names.items()
    }
    missing = [(key, path) for key, path in paths.items() if not path.exists()]
    with ray_session(None) if missing else contextlib.nullcontext():
        for (name, seed), path in missing:
            write(path, run(space, name, names[name], seed))
            spent = sum(row["seconds"] for row in read(path))
            print(f"  seed {seed}, {name}: {spent:.0f} trial-seconds", file=sys.stderr, flush=True)
    file = load_search_file(space)
    baseline = measure_baseline(load_task(file.task))  # type: ignore[arg-type]
    curves: dict[str, list[Curve]] = {}
    total: dict[str, float] = {}
    for name in names:
        steps = [steps_of(read(paths[name, seed]), baseline) for seed in seeds]
        whole = [curve(each, baseline, file.search.constraints) for each in steps]
        if name == PLAIN:
            last = [[step for step in each if step.last] for each in steps]
            curves[PLAIN] = [curve(each, baseline, file.search.constraints) for each in last]
        curves[EVERY_ROUND if name == PLAIN else name] = whole
        total[name] = float(np.median([each[-1].seconds for each in steps]))
    return curves, total


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", default="digits", help="a search file, or the name of a ready one")
    parser.add_argument("--trials", type=int, default=30, help="of the others")
    parser.add_argument("--ours", type=int, help="trials of ours; five where the others have three when not given")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--contenders", nargs="+", choices=[PLAIN, *PEERS, *OURS], default=list(DEFAULT))
    parser.add_argument("--against", default=STRONGEST, help="whom the others are compared with")
    parser.add_argument("--folder", type=Path, help="where the rounds of the searches are kept")
    parser.add_argument("--figure", type=Path, help="where to draw the contenders")
    arguments = parser.parse_args()
    space = Path(find_space(arguments.space))
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="rdsearch-real-"))
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    ours = arguments.ours or round(arguments.trials * MORE)
    trials = {name: ours if name in OURS else arguments.trials for name in arguments.contenders}
    curves, totals = compare(space, trials, seeds, folder)
    total = totals[arguments.against]
    spent = ", ".join(f"{name} {seconds:.0f}" for name, seconds in totals.items())
    print(f"{space.stem}, {arguments.trials} trials, ours {ours}, seeds {seeds[0]} to {seeds[-1]}")
    print(f"trial-seconds: {spent}\n")
    show(curves, total)
    print()
    show_paired(curves, total, arguments.against, expected=False)
    if arguments.figure:
        draw(curves, total, arguments.figure, f"{space.stem}, real searches: median and quartiles")


if __name__ == "__main__":
    main()
