"""What a search costs besides its trials: ``python -m benchmarks.overhead [PART ...]``, all parts when none is given.

utilisation  a search through Ray with two workers and trials of one second: the share of the workers' time that
             their rounds take, between the fifth trial's end and the fifth last's; bytes on disk a trial; what is
             left of Ray afterwards
proposals    from a trial's report to the next proposal, at 100, 1 000 and 10 000 stored trials, with the window that
             the sampler has and without; and the processor time that a study of that size takes to open
memory       resident memory of a driver that goes through 10 000 trials of four rounds: ledger, store and progress,
             without Ray, proposals drawn at random

Journals and stores lie in shared memory for `proposals` and `memory`, unless ``--folder`` gives another place: what
the disk adds is a flush for each proposal and report, whose time is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from rich.console import Console

import rdsearch
from benchmarks.pruning import machine
from rdsearch.compression.measure import Baseline
from rdsearch.config.searchfile import SearchConfig
from rdsearch.config.space import RecipeSpace, parse_space
from rdsearch.points.point import OperatingPoint
from rdsearch.search.run.progress import Progress
from rdsearch.search.store.rounds import Outcome, RoundStore
from rdsearch.search.study.ledger import Ledger
from rdsearch.search.study.window import Windowed
from tests.search.paced import ROUNDS, paced_space, paced_task

TRIAL_SECONDS, WORKERS = 1.0, 2
OBSERVATIONS = (100, 1_000, 10_000)
SPACE: dict[str, Any] = {
    "pruning": {
        "method": {"choice": ["global", "uniform", "erk", "lamp"]},
        "rounds": {"int": [2, 8]},
        "rate": {"float": [0.1, 0.6]},
    },
    "retrain": {"epochs": {"int": [1, 3]}, "lr": {"float": [1e-4, 1e-2], "log": True}},
    "quantization": {"step": {"float": [0.1, 1.0], "log": True}, "bias_bits": {"int": [4, 8]}},
}


def space() -> RecipeSpace:
    """Seven parameters, as the ready search files have."""
    parsed, problems = parse_space(SPACE, "benchmark")
    if problems:
        raise ValueError(problems)
    return parsed


@contextmanager
def folder(parent: Path) -> Iterator[Path]:
    """A folder that is gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix="rdsearch-overhead-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def made_up(rng: np.random.Generator, round_: int = 1) -> OperatingPoint:
    """A point whose size and accuracy trade off, with some noise."""
    sparsity = float(rng.uniform(0.3, 0.99))
    size = int(60_000 * (1 - sparsity) * rng.uniform(1.0, 1.5)) + 500
    accuracy = 0.98 - 0.1 * sparsity**8 - float(rng.exponential(0.01))
    return OperatingPoint(
        size_bytes=size,
        val_accuracy=accuracy,
        accuracy_drop=0.98 - accuracy,
        compression_ratio=1e6 / size,
        sparsity=sparsity,
        rate_bits_per_weight=8 * size / 3e5,
        seconds=1.0,
        round=round_,
        data=bytes(200),
    )


# utilisation


def utilisation(parent: Path, trials: int = 60) -> None:
    with folder(parent) as where:
        search = where / "search"
        (where / "faults").mkdir()
        started = time.perf_counter()
        task = paced_task(TRIAL_SECONDS / ROUNDS, where / "faults")
        rdsearch.search(paced_space(trials, WORKERS), task=task, out=search, console=Console(quiet=True))
        wall = time.perf_counter() - started
        ends = sorted(path.stat().st_mtime for path in search.glob("trials/*/outcome.json"))
        since, until = ends[4], ends[-5]
        busy = 0.0
        for path in search.glob("trials/*/round_*/point.json"):
            end = path.with_name("network.rdz").stat().st_mtime
            busy += max(0.0, min(end, until) - max(end - json.loads(path.read_bytes())["seconds"], since))
        print(f"{trials} trials of {ROUNDS} rounds, {TRIAL_SECONDS:g} s, {WORKERS} workers: {wall:.1f} s in all")
        print(f"utilisation: {busy / (WORKERS * (until - since)):.1%} over {until - since:.1f} s")
        store = [path for path in (search / "trials").rglob("*") if path.is_file()]
        journal = (search / "study.journal").stat().st_size
        sizes = [path.stat().st_size for path in store]
        networks = sum(path.stat().st_size for path in store if path.suffix == ".rdz")
        print(
            f"disk a trial: {sum(sizes) / trials:.0f} bytes in {len(sizes) / trials:.0f} files of the store (networks "
            f"{networks / trials:.0f}), {journal / trials:.0f} bytes of journal"
        )
        left = list(Path(tempfile.gettempdir()).glob(f"rdsearch-ray-{os.getpid()}-*"))
        print(
            f"left in the temporary folder: {len(left)} of Ray's session folders; .tune: {(search / '.tune').exists()}"
        )


# proposals


def fill(journal: Path, count: int, recipes: RecipeSpace) -> None:
    """A study of ``count`` complete trials, each in a dozen lines as a search writes them."""
    config = SearchConfig(sampler="random", heuristics=False)
    store = RoundStore(journal.with_name("trials"))
    ledger = Ledger(journal, store, recipes, config, count)
    rng = np.random.default_rng(0)
    with ledger._batch():
        while ledger.propose() is not None:
            number = ledger.unfinished[0]
            store.publish(number, made_up(rng), None)
            store.finish(number, Outcome("complete"))
            ledger.settle(number)


def time_to_proposal(ledger: Ledger, store: RoundStore, rng: np.random.Generator, repeats: int) -> np.ndarray:
    """Median milliseconds from a trial's end to the next trial's proposal: on the clock, and of the processor."""
    times = []
    for _ in range(repeats):
        number = ledger.unfinished[-1] if ledger.unfinished else ledger.propose().number  # type: ignore[union-attr]
        store.publish(number, made_up(rng), None)
        store.finish(number, Outcome("complete"))
        start, computed = time.perf_counter(), time.process_time()
        ledger.settle(number)
        ledger.propose()
        times.append((time.perf_counter() - start, time.process_time() - computed))
    return 1e3 * np.median(times, axis=0)


def proposals(parent: Path, repeats: int = 8) -> None:
    print(
        "| stored trials | journal | opens in | report to proposal | of it processor | without a window | processor |"
    )
    print("|---|---|---|---|---|---|---|")
    recipes, rng = space(), np.random.default_rng(1)
    for count in OBSERVATIONS:
        with folder(parent) as where:
            journal = where / "study.journal"
            fill(journal, count, recipes)
            size = journal.stat().st_size
            store = RoundStore(where / "trials")
            config = SearchConfig(sampler="tpe", heuristics=False)
            start = time.process_time()
            ledger = Ledger(journal, store, recipes, config, 10**6)
            opened = time.process_time() - start
            windowed = time_to_proposal(ledger, store, rng, repeats)
            sampler = ledger._study.sampler
            if isinstance(sampler, Windowed):
                ledger._study.sampler = sampler._sampler
            whole = time_to_proposal(ledger, store, rng, 3)
            print(
                f"| {count} | {size / 1e6:.2f} MB | {opened:.2f} s | {windowed[0]:.0f} ms "
                f"| {windowed[1]:.0f} ms | {whole[0]:.0f} ms | {whole[1]:.0f} ms |",
                flush=True,
            )
    print(f"a flush to the disk of {tempfile.gettempdir()}: {flush_milliseconds():.1f} ms")


def flush_milliseconds(repeats: int = 50) -> float:
    """Median time of writing a line and waiting until the disk has it."""
    times = []
    # Named: what has no name need not reach the disk.
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(repeats):
            start = time.perf_counter()
            file.write(bytes(300))
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


# memory


def resident() -> float:
    """MB of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory(parent: Path, trials: int = 10_000, rounds: int = 4) -> None:
    rng = np.random.default_rng(0)
    print("| trials | resident | of it since the first thousand |")
    print("|---|---|---|")
    with folder(parent) as where:
        store = RoundStore(where / "trials")
        config = SearchConfig(sampler="random", heuristics=False)
        ledger = Ledger(where / "study.journal", store, space(), config, trials)
        progress = Progress(ledger, Baseline(0.98, 10**6), {}, [])
        first = None
        while (proposal := ledger.propose()) is not None:
            for round_ in range(1, rounds + 1):
                progress.add([store.publish(proposal.number, made_up(rng, round_), None)])
            store.finish(proposal.number, Outcome("complete"))
            ledger.settle(proposal.number)
            if ledger.ended in (1_000, 5_000, 10_000):
                first = first or resident()
                print(f"| {ledger.ended} | {resident():.0f} MB | {resident() - first:.0f} MB |", flush=True)


PARTS: dict[str, Callable[[Path], None]] = {"utilisation": utilisation, "proposals": proposals, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    shared = Path("/dev/shm")  # noqa: S108
    print(machine())
    for name in arguments.parts or PARTS:
        print(f"\n{name}")
        disk = Path(tempfile.gettempdir())
        PARTS[name](arguments.folder or (disk if name == "utilisation" or not shared.exists() else shared))


if __name__ == "__main__":
    main()
