"""What a GPU does for a search: ``python -m benchmarks.gpu [cuda|cpu] [--budget 300] [--parts round,step]``.

Needs no data and no network. Each part prints its figures at once, one line of JSON each, and the last line says which
of them were wrong. On a CPU it is a small dry run, unless --full is given.

round:    every way of quantising, pruning and retraining, twice: the decoded file's score on the GPU and on the CPU
step:     milliseconds of a training step, waits for the host, kernels started
shares:   processes that each take all that their share allows
search:   four trials to a GPU, one of which wants more than its share: it alone may fail
solver:   levels by hessian and sequential of a layer of 512 x 4 608, where the CPU computes and where the GPU does
resnet50: what a round of ResNet-50 takes besides training
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.machine import machine
from rdsearch.base.device import release_gpu
from rdsearch.compression.measure import dense_network, measure, measure_baseline
from rdsearch.compression.rounds import rounds
from rdsearch.config.space import load_recipe
from rdsearch.pruning.prune import prune
from rdsearch.pruning.weights import prunable_weights
from rdsearch.search.run.device import CONTEXT_BYTES, memory_limit, taken_by_others
from rdsearch.tasks.data.augmentation import crop_and_flip
from rdsearch.tasks.networks.identity import build_network
from rdsearch.tasks.splits import ArraySplit
from rdsearch.tasks.task import Task

MIB = 2**20
AGREE = 0.005
"""Two scores of one file on two devices: an image in two hundred may lie on the border between two classes."""
LEARNT = 0.5
"""A score that no network has by chance: there are ten classes."""

WAYS: dict[str, dict[str, Any]] = {
    "uniform": {},
    "rate_aware": {"quantization": {"method": "rate_aware"}},
    "hessian": {"quantization": {"method": "hessian"}},
    "sequential": {"quantization": {"method": "sequential"}},
    "levels": {"quantization": {"training": {"epochs": 0.1}}},
    "gradual": {"pruning": {"gradual": 0.5}},
    "fold": {"quantization": {"fold_batchnorm": True, "reestimate_batchnorm": False}},
    "surp": {"pruning": {"method": "surp"}},
    "rd_prune": {"pruning": {"method": "rd_prune", "calibration": 64}},
    "distillation": {"retrain": {"distillation": {"weight": 0.5}}},
    "patience": {"retrain": {"epochs": 2, "patience": 1}},
}


@dataclasses.dataclass
class Bench:
    """One run: where it computes, how long it may, and what was wrong."""

    device: torch.device
    budget: float
    small: bool
    started: float = dataclasses.field(default_factory=time.perf_counter)
    wrong: list[str] = dataclasses.field(default_factory=list)

    def print(self, figure: str, **values: object) -> None:
        """One line of JSON."""
        seconds = round(time.perf_counter() - self.started, 1)
        print(json.dumps({"figure": figure, "at": seconds, **values}, default=str), flush=True)

    def must(self, figure: str, good: bool, **values: object) -> None:
        """The same, of something that has to hold."""
        self.print(figure, good=good, **values)
        if not good:
            self.wrong.append(figure)

    @property
    def left(self) -> float:
        return self.budget - (time.perf_counter() - self.started)

    def seconds(self, work: Callable[[], object]) -> float:
        """Wall time of some work on the device."""
        self.wait()
        start = time.perf_counter()
        work()
        self.wait()
        return round(time.perf_counter() - start, 3)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def memory(self) -> dict[str, int]:
        """What torch has allocated at most since it was last asked, in MiB."""
        if self.device.type != "cuda":
            return {}
        peak = torch.cuda.max_memory_reserved(self.device) // MIB
        torch.cuda.reset_peak_memory_stats(self.device)
        return {"peak_MB": peak}


def learnable(examples: int, **options: Any) -> Task:
    """ResNet-20 and images of ten blurred shapes in noise, which it learns in some hundred steps."""
    generator = np.random.default_rng(0)
    shapes = np.kron(generator.normal(0, 40, (10, 3, 8, 8)), np.ones((1, 1, 4, 4)))
    labels = generator.integers(0, 10, examples)
    images = 128 + shapes[labels] + generator.normal(0, 60, (examples, 3, 32, 32)).astype(np.float32)
    split = ArraySplit(np.clip(images, 0, 255).astype(np.uint8), labels, mean=0.5, std=0.25, augmentation=crop_and_flip)
    training = {"epochs": min(2.0, 60_000 / examples), "batch_size": 128, "optimizer": "sgd", "lr": 0.05}
    factory = lambda: build_network("resnet20")  # noqa: E731
    return Task(network=factory, train=split, validation=examples // 10, name="gpu", training=training, **options)


def recipe(changed: dict[str, Any]) -> Any:
    """A round of pruning and retraining, with some settings changed."""
    tree: dict[str, Any] = {
        "pruning": {"method": "global", "rounds": 1, "rate": 0.5},
        "retrain": {"epochs": 0.2, "batch_size": 128, "optimizer": "sgd", "lr": 0.01},
        "quantization": {"method": "uniform", "step": 0.5, "calibration": 256},
    }
    for part, settings in changed.items():
        tree[part] = {**tree[part], **settings}
    return load_recipe(tree, "recipe")


def measure_rounds(bench: Bench, task: Task) -> None:
    """Each way twice: the same bytes, and a file whose score a CPU confirms."""
    baseline = measure_baseline(task, bench.device)
    bench.must("round: dense network", bench.small or baseline.accuracy > LEARNT, score=baseline.accuracy)
    for way, changed in list(WAYS.items())[: 4 if bench.small else None]:
        if bench.left < 8:
            bench.print(f"round: {way}", skipped="no time left")
            continue
        start, files, point = time.perf_counter(), [], None
        for _ in range(2):
            ((point, _after),) = rounds(task, recipe(changed), seed=1, device=bench.device, baseline=baseline)
            files.append(hashlib.sha256(point.data).hexdigest())
        seconds = (time.perf_counter() - start) / len(files)
        assert point is not None  # noqa: S101 - there were two rounds
        on_cpu = measure(task, point.data, baseline, torch.device("cpu")).val_accuracy
        learnt = bench.small or point.val_accuracy > LEARNT
        bench.must(
            f"round: {way}",
            abs(on_cpu - point.val_accuracy) <= AGREE and learnt,
            seconds=round(seconds, 2),
            bytes=point.size_bytes,
            score=point.val_accuracy,
            score_on_cpu=on_cpu,
            same_bytes_twice=len(set(files)) == 1,
            **bench.memory(),
        )


def measure_step(bench: Bench, task: Task) -> None:
    """Steps with masks, and steps that train a file's levels."""
    from rdsearch.quantization.uniform import quantize_uniform, survivor_rms
    from rdsearch.retraining.rate.state import Trained
    from rdsearch.retraining.rate.training import precision
    from rdsearch.tasks.training.stepper import Stepper, hold
    from rdsearch.tasks.training.train import batches

    settings, count = recipe({}).retrain, 2 if bench.small else 60
    network = dense_network(task).to(bench.device).train()
    weights = prunable_weights(network)
    masks = prune(weights, None, int(0.3 * sum(weight.numel() for weight in weights.values())))
    held = hold(network, masks)
    levels = {name: quantize_uniform(weight, 0.5 * survivor_rms([weight])) for name, weight in weights.items()}

    def fed_batches() -> Iterator[Any]:
        while True:  # epoch after epoch
            yield from batches(task.train, settings, np.random.default_rng(0), bench.device)

    feed = fed_batches()
    first = next(feed)
    assert task.loss is not None  # noqa: S101 - a classification
    loss, stepper = task.loss, Stepper(network, settings, 1000, held, task.loss, bench.device)
    source, whole, fresh = (dense_network(task).to(bench.device) for _ in range(3))
    trained = Trained(
        fresh, whole, source, levels, bits=8, lr=0.02, size=lambda whole, levels, last=False: 0, inputs=first[0][:2]
    )
    pull = torch.zeros((), device=bench.device)

    def learn(batch: Any) -> None:
        trained.before_forward()
        with precision(bench.device):
            value = loss(trained.network(batch[0]), batch[1])
        value.backward()  # type: ignore[no-untyped-call]
        trained.update(pull, 1.0)

    for kind, step in (("plain", stepper.step), ("levels", learn)):

        def take(batches: Iterable[Any], count: int, step: Callable[[Any], object] = step) -> None:
            for _, batch in zip(range(count), batches, strict=False):
                step(batch)

        take([first] * 5, 5)
        fed = bench.seconds(lambda: take(feed, count)) / count
        same = bench.seconds(lambda: take([first] * count, count)) / count
        figures = {"ms": round(1e3 * fed, 2), "ms_without_feeding": round(1e3 * same, 2)}
        bench.print(f"step: {kind}", **figures, **_traced(bench, lambda: take(feed, 10), 10))


def _traced(bench: Bench, work: Callable[[], None], steps: int) -> dict[str, float]:
    """Of each step: waits of the host, kernels started, copies, and how long the GPU was busy."""
    if bench.device.type != "cuda":
        return {}
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], acc_events=True) as profiled:
        work()
        bench.wait()
    events = list(profiled.events() or [])
    calls = [event.name for event in events if event.device_type == DeviceType.CPU]
    # Of what lies on the GPU, annotations span kernels that are counted themselves.
    busy = [
        event
        for event in events
        if event.device_type == DeviceType.CUDA and not getattr(event, "is_user_annotation", False)
    ]
    return {
        "waits": sum(name == "cudaStreamSynchronize" for name in calls) / steps,
        "kernels": sum("LaunchKernel" in name for name in calls) / steps,
        "copies": sum(name.startswith("cudaMemcpy") for name in calls) / steps,
        "gpu_busy_ms": round(sum(event.time_range.elapsed_us() for event in busy) / steps / 1e3, 2),
    }


CHILD = """
import sys, torch
torch.cuda.set_per_process_memory_fraction(float(sys.argv[1]), 0)
x = torch.randn(64, 64, 32, 32, device="cuda"); torch.nn.Conv2d(64, 64, 3, device="cuda")(x).sum().backward(); del x
print("ready", flush=True); sys.stdin.readline(); held = []
try:
    while True: held.append(torch.empty(64 << 20, dtype=torch.uint8, device="cuda"))
except torch.OutOfMemoryError: print(len(held) * 64, flush=True)
sys.stdin.readline()
"""


def measure_shares(bench: Bench, task: Task) -> None:
    """Four processes at once, each with the limit of a quarter, beside a driver that has used the GPU."""
    if bench.device.type != "cuda":
        bench.print("shares", skipped="no GPU")
        return
    task.release_data()
    release_gpu()
    taken = sum(taken_by_others().values())
    free, total = torch.cuda.mem_get_info(bench.device)
    limit = memory_limit(0.25, total, taken, free)
    command = [sys.executable, "-c", CHILD, str(limit / total)]
    children = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    got = []
    try:
        for child in children:
            child.stdout.readline()  # type: ignore[union-attr]
        free_with_contexts, _ = torch.cuda.mem_get_info(bench.device)
        for child in children:
            child.stdin.write("\n")  # type: ignore[union-attr]
            child.stdin.flush()  # type: ignore[union-attr]
            got.append(int(child.stdout.readline() or 0))  # type: ignore[union-attr]
    finally:
        for child in children:
            child.communicate("\n")
    bench.must(
        "shares",
        min(got) >= limit // MIB - 256,
        total_MB=total // MIB,
        driver_MB=taken // MIB,
        limit_MB=limit // MIB,
        got_MB=got,
        context_MB=(free - free_with_contexts) // 4 // MIB,
        context_allowed_MB=CONTEXT_BYTES // MIB,
    )


class Greedy:
    """Top-1 accuracy that notes where it is taken, and once, in a trial, wants half a GPU."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.driver = folder, os.getpid()

    def __call__(self, network: nn.Module, batches: Iterable[Any]) -> float:
        place = next(network.parameters()).device
        reserved = torch.cuda.memory_reserved(place) // MIB if place.type == "cuda" else 0
        with (self.folder / "places").open("a") as file:
            file.write(f"{os.getpid()} {place} {reserved}\n")
        if os.getpid() != self.driver and place.type == "cuda":
            with contextlib.suppress(FileNotFoundError):
                (self.folder / "greedy").unlink()
                torch.empty(torch.cuda.get_device_properties(place).total_memory // 2, dtype=torch.uint8, device=place)
        right = count = 0
        with torch.no_grad():
            for inputs, labels in batches:
                right += int((network(inputs).argmax(1) == labels).sum())
                count += len(labels)
        return right / count


def measure_search(bench: Bench, examples: int) -> None:
    """A search of a few trials through Ray, four to a GPU."""
    from rich.console import Console

    import rdsearch
    from rdsearch.search.outcome.results import read_results

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "greedy").touch()
        trials = 2 if bench.small else 10
        space = {
            "recipe": {
                "pruning": {"method": {"choice": ["global", "uniform"]}, "rounds": 2, "rate": {"float": [0.2, 0.5]}},
                "retrain": {"epochs": 0.1},
                "quantization": {"step": 0.5, "calibration": 256},
            },
            "search": {"trials": trials, "seed": 0},
            "resources": {"cpu": 1, "gpu": 0.25},
        }
        task = learnable(examples, evaluate=Greedy(folder))
        start = time.perf_counter()
        rdsearch.search(space, task=task, out=folder / "search", console=Console(file=io.StringIO()))
        results = read_results(folder / "search")
        lines = [line.split() for line in (folder / "places").read_text().splitlines()]
        workers = [line for line in lines if int(line[0]) != os.getpid()]
        bench.must(
            "search",
            len(results.points) == 2 * trials and {line[1][:4] for line in workers} == {bench.device.type},
            seconds=round(time.perf_counter() - start, 1),
            points=len(results.points),
            failed=[str(one)[:200] for one in results.failed],
            greedy_came=not (folder / "greedy").exists(),
            workers=len({line[0] for line in workers}),
            reserved_MB=sorted({int(line[2]) for line in workers}),
        )


def measure_solver(bench: Bench) -> None:
    """The levels of one layer as the largest of ResNet-50: 512 rows, 512 channels of 3 x 3 taps."""
    from rdsearch.quantization.solver.levels import choose_levels, damped, inverse_factor

    rows, columns = (32, 288) if bench.small else (512, 4608)
    places = torch.arange(columns)
    # Inputs that depend on each other, the more the nearer they are.
    moments = damped(0.8 ** (places[:, None] - places).abs().double())
    weights = torch.from_numpy(np.random.default_rng(0).laplace(size=(rows, columns)))
    weights[weights.abs() < 1] = 0
    found: dict[str, Tensor] = {}

    def solve(place: torch.device, rows: int = rows, columns: int = columns) -> None:
        here, squares = weights[:rows, :columns].to(place), moments[:columns, :columns].to(place)
        found[place.type] = choose_levels(here, here != 0, squares, inverse_factor(squares), 0.05, 9).cpu()

    for place in {bench.device.type: bench.device, "cpu": torch.device("cpu")}.values():
        # The first run loads, compiles or records.
        first = bench.seconds(lambda: solve(place, 2, 288))  # noqa: B023 - called at once
        processor = time.process_time()
        seconds = bench.seconds(lambda: solve(place))  # noqa: B023
        processor = round(time.process_time() - processor, 2)
        figures = {"seconds": seconds, "processor": processor, "first": first, "threads": torch.get_num_threads()}
        bench.print(f"solver: {rows} x {columns}, {place.type}", **figures)
    if len(found) == 2:
        differing = int((found["cuda"] != found["cpu"]).sum())
        # A level on the border between two prices may fall either way, and what follows it in its row with it.
        bench.must("solver: same levels", differing <= rows * columns // 1000, differing=differing)


def measure_resnet50(bench: Bench) -> None:
    """Pruning, packing and decoding, against ten steps of training."""
    import torchvision

    from rdsearch.compression.loading import decode
    from rdsearch.compression.packing.pack import pack
    from rdsearch.config.recipe import QuantizationRecipe

    size, images = (32, 8) if bench.small else (224, 256)
    make = torchvision.models.resnet18 if bench.small else torchvision.models.resnet50

    def fresh() -> nn.Module:
        return make(weights=None).eval()

    network = fresh().to(bench.device)
    weights = prunable_weights(network, ["fc*"])
    total = sum(weight.numel() for weight in weights.values())
    masks: dict[str, Tensor] = {}
    for method in ("uniform", "global", "lamp", "surp"):
        seconds = bench.seconds(lambda: masks.update(prune(weights, None, total // 5, method=method)))  # noqa: B023
        bench.print(f"resnet50: prune {method}", seconds=seconds)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.mul_(masks[name])
    batch, data = torch.randn(images, 3, size, size, device=bench.device), b""
    for method, needs in {"uniform": 10, "rate_aware": 12, "hessian": 50, "sequential": 50}.items():
        if bench.left < needs:
            bench.print(f"resnet50: pack {method}", skipped="no time left")
            continue
        files: list[bytes] = []
        settings = QuantizationRecipe(method=method, step=0.5)
        seconds = bench.seconds(lambda: files.append(pack(network, fresh, settings, [batch])))  # noqa: B023
        bench.print(f"resnet50: pack {method}", seconds=seconds, bytes=len(files[0]), **bench.memory())
        data = data or files[0]
    bench.print("resnet50: decode", seconds=bench.seconds(lambda: decode(data)))
    if bench.device.type == "cuda":
        bench.print("resnet50: 10 steps of 128", seconds=_ten_steps(bench, network.train(), batch[:128]))


def _ten_steps(bench: Bench, network: nn.Module, inputs: Tensor) -> float:
    network.to(memory_format=torch.channels_last)
    inputs = inputs.to(memory_format=torch.channels_last)
    labels = torch.zeros(len(inputs), dtype=torch.int64, device=bench.device)
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, fused=True)

    def steps() -> None:
        for _ in range(10):
            with torch.autocast("cuda", torch.bfloat16):
                loss = F.cross_entropy(network(inputs), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    steps()
    return bench.seconds(steps)


@contextlib.contextmanager
def _guarded(bench: Bench, part: str) -> Iterator[None]:
    """One part's failure leaves the others their turn."""
    try:
        yield
    except Exception as error:
        bench.must(part, False, error=f"{type(error).__name__}: {error}"[:600])
    if bench.device.type == "cuda":
        release_gpu()


def main(arguments: Sequence[str] | None = None) -> list[str]:
    """Run it; the names of what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("device", nargs="?", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--budget", type=float, default=300, help="seconds after which no further part is begun")
    parser.add_argument("--parts", help="some of them, comma-separated")
    parser.add_argument("--full", action="store_true", help="full sizes on a CPU too")
    options = parser.parse_args(arguments)
    small = options.device == "cpu" and not options.full
    bench = Bench(torch.device(options.device), options.budget, small)
    name = machine() if options.device == "cpu" else torch.cuda.get_device_name(bench.device)
    bench.print("machine", device=name, torch=torch.__version__, cores=os.cpu_count(), threads=torch.get_num_threads())
    examples = 200 if small else 50_000
    made: list[Task] = []

    def task() -> Task:
        if not made:
            made.append(learnable(examples))
        return made[0]

    # In the order of what has to hold first; each with the seconds that it needs.
    parts: dict[str, tuple[float, Callable[[], None]]] = {
        "solver": (25, lambda: measure_solver(bench)),
        "round": (30, lambda: measure_rounds(bench, task())),
        "step": (10, lambda: measure_step(bench, task())),
        "shares": (15, lambda: measure_shares(bench, task())),
        "search": (45, lambda: measure_search(bench, examples)),
        "resnet50": (30, lambda: measure_resnet50(bench)),
    }
    for part in options.parts.split(",") if options.parts else parts:
        needs, work = parts[part]
        if bench.left < (0 if small else needs):
            bench.print(part, skipped="no time left")
            continue
        with _guarded(bench, part):
            work()
    bench.print("end", wrong=bench.wrong)
    return bench.wrong


if __name__ == "__main__":
    sys.exit(bool(main()))
