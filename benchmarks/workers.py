"""Many workers, and what the sampler's window costs, in virtual time: ``python -m benchmarks.workers [--quality]``.

The published search of LeNet-300-100 on MNIST (results/mnist_lenet300_rounds/points.csv) stands in for trials: what a
recipe gives and how long its rounds take is interpolated between the rounds that were measured there. Ledger, sampler,
journal and round store are the real ones; a worker is an event. The driver does one thing at a time, and what it takes
on this machine to settle a trial and to propose the next one passes in virtual time as well, with a constant for Ray's
share; a worker waits meanwhile.

--latency MS … adds what an object store costs the driver: a request a commit, in which the study is told of the trials
that have ended and of the next ones. Workers' own requests pass while they work.

--quality compares hypervolumes with and without the sampler's window, one worker, several seeds.
"""

from __future__ import annotations

import argparse
import heapq
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.pruning import machine
from rdsearch.config.searchfile import SearchConfig
from rdsearch.config.space import Choice, RecipeSpace
from rdsearch.points.front import hypervolume, pareto
from rdsearch.points.point import OperatingPoint, Scalar
from rdsearch.points.table import read_points
from rdsearch.search.run.searcher import ahead
from rdsearch.search.store.folder import SearchFolder
from rdsearch.search.store.rounds import Outcome, RoundStore
from rdsearch.search.study.ledger import Ledger, Proposal
from rdsearch.search.study.samplers import TPE_WINDOW
from rdsearch.search.study.window import Windowed

PUBLISHED = Path(__file__).parents[1] / "results/mnist_lenet300_rounds"
BASELINE_BYTES, BASELINE_ACCURACY, DROP = 1_066_440, 0.984, 0.05
RAY_SECONDS = 0.02
"""Of the driver's time a trial: two workers with empty trials take 0.04 s a trial."""
BANDWIDTH = 0.2
"""Of the interpolation, in ranges of a parameter."""


class StandIn:
    """A search space whose every recipe has known rounds."""

    def __init__(self) -> None:
        file = SearchFolder.open(PUBLISHED).search_file()
        self.space: RecipeSpace = file.space
        points = read_points(PUBLISHED / "points.csv")
        self._features = np.array([self._place(point.parameters, point.round) for point in points])
        self._figures = np.array(
            [[np.log2(point.size_bytes), point.val_accuracy, np.log(point.seconds)] for point in points]
        )

    def rounds(self, parameters: dict[str, Scalar]) -> list[OperatingPoint]:
        """The points of a trial."""
        count = int(parameters["pruning.rounds"] or 1)
        wanted = np.array([self._place(parameters, round_) for round_ in range(1, count + 1)])
        distance = ((wanted[:, None] - self._features[None]) ** 2).sum(axis=2)
        weight = np.exp(-(distance - distance.min(axis=1, keepdims=True)) / (2 * BANDWIDTH**2))
        figures = weight @ self._figures / weight.sum(axis=1, keepdims=True)
        return [
            OperatingPoint(
                size_bytes=int(2**size),
                val_accuracy=float(accuracy),
                accuracy_drop=BASELINE_ACCURACY - float(accuracy),
                compression_ratio=BASELINE_BYTES / 2**size,
                sparsity=0.0,
                rate_bits_per_weight=0.0,
                seconds=float(np.exp(seconds)),
                round=round_,
                parameters=parameters,
                data=b"",
            )
            for round_, (size, accuracy, seconds) in enumerate(figures, start=1)
        ]

    def _place(self, parameters: dict[str, Scalar], round_: int) -> list[float]:
        place = [round_ / 10]
        for name, domain in self.space.parameters.items():
            value = parameters[name]
            if isinstance(domain, Choice):
                # Half a range apart from one another.
                place += [0.35 * (value == choice) for choice in domain.values]
            elif name != "pruning.rounds":
                low, high, at = (np.log(x) if domain.log else x for x in (domain.low, domain.high, float(value or 0)))
                place.append(float((at - low) / (high - low)))
        return place


@contextmanager
def books(
    seed: int, trials: int, stand_in: StandIn, window: int | None = TPE_WINDOW
) -> Iterator[tuple[Ledger, RoundStore]]:
    """A ledger and its store in shared memory."""
    shared = Path("/dev/shm")  # noqa: S108
    path = Path(tempfile.mkdtemp(dir=shared if shared.exists() else None))
    try:
        store = RoundStore(path / "trials")
        config = SearchConfig(seed=seed, constraints={"accuracy_drop": DROP})
        ledger = Ledger(path / "study.journal", store, stand_in.space, config, trials)
        sampler = ledger._study.sampler
        if isinstance(sampler, Windowed):
            ledger._study.sampler = Windowed(sampler._sampler, window or 10**9)
        yield ledger, store
    finally:
        shutil.rmtree(path)


def worth(points: list[OperatingPoint]) -> float:
    return hypervolume(
        pareto(point for point in points if point.accuracy_drop <= DROP),
        reference_size=BASELINE_BYTES,
        reference_accuracy=BASELINE_ACCURACY - DROP,
    )


class Run:
    """A search in virtual time.

    Attributes:
        ended: Virtual time at which each trial ended, and its points.
        utilisation: Share of the workers' time that their trials took, until the last proposal.
        load: Share of that time in which the driver was busy.
    """

    def __init__(
        self,
        stand_in: StandIn,
        workers: int,
        trials: int,
        seed: int,
        window: int | None = TPE_WINDOW,
        latency: float = 0.0,
    ) -> None:
        self.ended: list[tuple[float, list[OperatingPoint]]] = []
        self.utilisation = self.load = float("nan")
        with books(seed, trials, stand_in, window) as (ledger, store):
            running: list[tuple[float, int, list[OperatingPoint]]] = []
            ready: deque[Proposal] = deque()
            ends = driver = busy = spent = 0.0
            while True:
                # The driver hands out what it can, one after the other, then waits for the next end.
                while len(running) < workers and ledger.ended + len(running) < trials:
                    start, commit = time.process_time(), 0.0
                    if not ready:
                        proposals = [ledger.propose() for _ in range(ahead(workers))]
                        ready.extend(proposal for proposal in proposals if proposal is not None)
                        commit = latency
                    took = time.process_time() - start + commit + RAY_SECONDS
                    driver, spent = driver + took, spent + took
                    proposal = ready.popleft()
                    points = stand_in.rounds(proposal.parameters)
                    seconds = sum(point.seconds for point in points)
                    heapq.heappush(running, (driver + seconds, proposal.number, points))
                    busy, ends = busy + seconds, ends + driver + seconds
                if not running:
                    break
                end, number, points = heapq.heappop(running)
                ends -= end
                for point in points:
                    store.publish(number, point, None)
                store.finish(number, Outcome("complete"))
                driver = max(driver, end)
                start = time.process_time()
                ledger.settle(number)
                took = time.process_time() - start
                driver, spent = driver + took, spent + took
                self.ended.append((end, points))
                if ledger.ended + len(running) < trials:
                    done = busy - (ends - len(running) * driver)
                    self.utilisation, self.load = done / (workers * driver), spent / driver

    def worth_at(self, seconds: float) -> float:
        return worth([point for end, points in self.ended if end <= seconds for point in points])


def many_workers(trials: int, seeds: int) -> None:
    stand_in = StandIn()
    runs = {workers: [Run(stand_in, workers, trials, seed) for seed in range(seeds)] for workers in (1, 64, 512)}
    print(f"{trials} trials, medians of {seeds} seeds")
    print("| workers | hours | utilisation | driver's load | hypervolume | of one worker by then |")
    print("|---|---|---|---|---|---|")
    for workers, several in runs.items():
        ends = [max(end for end, _ in run.ended) for run in several]
        print(
            f"| {workers} | {np.median(ends) / 3600:.2f} | {np.median([run.utilisation for run in several]):.1%} "
            f"| {np.median([run.load for run in several]):.1%} "
            f"| {np.median([run.worth_at(np.inf) for run in several]):.3f} "
            f"| {np.median([one.worth_at(end) for one, end in zip(runs[1], ends, strict=True)]):.3f} |",
            flush=True,
        )


def far_store(trials: int, workers: int, ways: Sequence[float]) -> None:
    stand_in = StandIn()
    print(f"{trials} trials")
    print("| workers | way to the store | hours | utilisation | driver's load | trials a second |")
    print("|---|---|---|---|---|---|")
    for way in ways:
        run = Run(stand_in, workers, trials, 0, latency=way)
        end = max(end for end, _ in run.ended)
        print(
            f"| {workers} | {way * 1e3:g} ms | {end / 3600:.2f} | {run.utilisation:.1%} | {run.load:.1%} "
            f"| {trials / end:.1f} |",
            flush=True,
        )


def quality(trials: int, seeds: int) -> None:
    stand_in = StandIn()
    print(f"{trials} trials one after the other, {seeds} seeds: hypervolume, and seconds of computing a trial")
    print("| window | " + " | ".join(f"seed {seed}" for seed in range(seeds)) + " | median | seconds |")
    print("|---|" + "---|" * (seeds + 2))
    for window in (None, TPE_WINDOW, TPE_WINDOW // 4):
        start = time.process_time()
        values = [Run(stand_in, 1, trials, seed, window).worth_at(np.inf) for seed in range(seeds)]
        spent = (time.process_time() - start) / (seeds * trials)
        row = " | ".join(f"{value:.3f}" for value in values)
        print(f"| {window or 'none'} | {row} | {np.median(values):.3f} | {spent:.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quality", action="store_true")
    parser.add_argument("--trials", type=int, default=1024)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--latency", type=float, nargs="+", help="milliseconds to an object store and back")
    parser.add_argument("--workers", type=int, default=512, help="with --latency")
    arguments = parser.parse_args()
    print(machine())
    if arguments.latency is not None:
        far_store(arguments.trials, arguments.workers, [way / 1e3 for way in arguments.latency])
        return
    (quality if arguments.quality else many_workers)(arguments.trials, arguments.seeds)


if __name__ == "__main__":
    main()
