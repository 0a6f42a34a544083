"""Time and memory of one trial on large networks: ``python -m benchmarks.scale [--sizes 25 100] [--recipes uniform]``.

A network of linear layers with heavy-tailed weights, whose rows and columns have scales of their own as those of
trained networks have, is written as safetensors. For each size, in millions of weights, and each recipe a process of
its own reads it as a checkpoint and goes through one trial (quantise, code, decode, score), and another one decodes the
file. Printed are seconds of the processor a million weights, and memory: the most that a trial takes beside the float32
network, which takes 4 MB a million itself, and that decoding takes beside the network that is filled. It is what the
process has written to, looked at every 10 ms (`RssAnon` of Linux); a mapped checkpoint does not count. All imports and
a small trial, which compiles the loops, go before.

`--solver` times instead the choice of the levels of a layer of 512 rows of 4 608 weights, as ResNet-50 has three, by
the compiled loops and by those of torch that a GPU takes; `--beyond` codes and decodes a file of more than 2^31 values,
nearly all of them zero; `--networks` times a trial of a ResNet-50 and of a ViT-B/16 as torchvision has them, with the
weights that they are made with and 64 images of 224 x 224, in all instead of a million.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import rdsearch
from benchmarks.machine import machine
from rdsearch.coding.layout import Entry, Layout
from rdsearch.coding.networkfile import NetworkFile, decode_file, encode_file
from rdsearch.compression.measure import unscored_baseline
from rdsearch.errors import TaskError
from rdsearch.quantization.solver import descent, levels, propagation
from rdsearch.quantization.solver.levels import choose_levels, damped, inverse_factor

RECIPES: dict[str, dict[str, Any]] = {
    "uniform": {"pruning": {"rate": 0}, "quantization": {"method": "uniform"}},
    "uniform, 80 % pruned": {"pruning": {"rounds": 1, "rate": 0.8}, "quantization": {"method": "uniform"}},
    "rate_aware": {"pruning": {"rate": 0}, "quantization": {"method": "rate_aware"}},
    "hessian": {"pruning": {"rate": 0}, "quantization": {"method": "hessian"}},
    "sequential": {"pruning": {"rate": 0}, "quantization": {"method": "sequential"}},
}
NETWORKS = ("resnet50", "vit_b_16")
MILLION = 1_000_000
NETWORK_MB = 4.0
"""Of a million float32 weights."""
EXAMPLES, CLASSES = 64, 10
_SPREAD = 0.4
"""Deviation of the logarithms of rows' and columns' scales."""
_WIDTHS = ((50, 1024), (400, 2048), (sys.maxsize, 4096))
"""Up to so many million weights, the layers are so wide."""


class Stack(nn.Module):
    """So many million weights in square layers."""

    def __init__(self, millions: float) -> None:
        super().__init__()
        self.width = next(width for most, width in _WIDTHS if millions <= most)
        count = max(1, round(millions * MILLION / self.width**2))
        self.layers = nn.ModuleList(nn.Linear(self.width, self.width) for _ in range(count))
        self.head = nn.Linear(self.width, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, width) to (batch, classes)."""
        for layer in self.layers:
            inputs = torch.relu(layer(inputs))
        return self.head(inputs)  # type: ignore[no-any-return]


def write(path: Path, millions: float) -> None:
    """A checkpoint with Laplacian weights at the scale that keeps activations as they are."""
    generator = torch.Generator().manual_seed(0)
    network = Stack(millions)
    with torch.no_grad():
        for layer in [*network.layers, network.head]:
            weight = layer.weight
            uniform = torch.rand(weight.shape, generator=generator) - 0.5
            weight.copy_(-uniform.sign() * torch.log1p(-1.999998 * uniform.abs()) / weight.shape[1] ** 0.5)
            for shape in ((len(weight), 1), (1, weight.shape[1])):
                weight.mul_(torch.exp(_SPREAD * torch.randn(shape, generator=generator)))
    save_file(network.state_dict(), path)


def _written() -> float:
    """MB of memory that this process has written to."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    if found is None:
        raise SystemExit("memory is measured on Linux alone")
    return int(found[1]) / 1024


@contextmanager
def peak() -> Iterator[list[float]]:
    """MB that are written to in the block at most, beyond what is written to before it; known at its end."""
    before, most, done = _written(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            most[0] = max(most[0], _written() - before)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        done.set()
        watcher.join()


def task(millions: float, checkpoint: Path | None) -> rdsearch.Task:
    """Images and classes drawn at random: what is scored is of no interest here, that it is scored is."""
    width = Stack(millions).width
    inputs = np.random.default_rng(0).standard_normal((2 * EXAMPLES, width)).astype(np.float32)
    data = inputs, np.arange(2 * EXAMPLES) % CLASSES
    return rdsearch.Task(
        network=lambda: Stack(millions),
        train=data,
        validation=(inputs[:EXAMPLES], data[1][:EXAMPLES]),
        checkpoint=checkpoint,
        training={"epochs": 0},
    )


def trial(recipe: str, step: float, millions: float, checkpoint: Path | None) -> bytes:
    """The file of one trial."""
    settings = RECIPES[recipe]
    settings = settings | {"quantization": settings["quantization"] | {"step": step, "calibration": EXAMPLES}}
    *_, last = rdsearch.compress(task(millions, checkpoint), settings | {"retrain": {"epochs": 0}})
    return last.data or b""


def known(name: str, recipe: str, step: float) -> None:
    """Print the line of a network that others have made, untrained."""
    from torchvision import models

    trial(recipe, step, 0.1, None)
    network = models.get_model(name)
    images = np.random.default_rng(0).standard_normal((2 * EXAMPLES, 3, 224, 224)).astype(np.float32)
    data = images, np.arange(2 * EXAMPLES) % CLASSES
    given = rdsearch.Task(network=network, train=data, validation=(images[:EXAMPLES], data[1][:EXAMPLES]))
    settings = RECIPES[recipe]
    settings = settings | {"quantization": settings["quantization"] | {"step": step, "calibration": EXAMPLES}}
    baseline = unscored_baseline(given)
    started, begun = time.process_time(), time.perf_counter()
    with peak() as most:
        *_, last = rdsearch.compress(given, settings | {"retrain": {"epochs": 0}}, device="cpu", baseline=baseline)
    seconds, wall = time.process_time() - started, time.perf_counter() - begun
    weights = sum(parameter.numel() for parameter in network.parameters()) / MILLION
    bits = 8 * last.size_bytes / weights / MILLION
    print(f"| {name} | {weights:.0f} M | {recipe} | {last.size_bytes:,} | {bits:.2f} ", end="")
    print(f"| {seconds:.0f} s | {wall:.0f} s | {most[0]:.0f} MB |", flush=True)


def one(folder: Path, recipe: str, step: float, millions: float) -> None:
    """Print one line of the table's first half, and leave the file."""
    trial(recipe, step, 0.1, None)
    started, begun = time.process_time(), time.perf_counter()
    with peak() as most:
        data = trial(recipe, step, millions, folder / "network.safetensors")
    seconds, wall = time.process_time() - started, time.perf_counter() - begun
    (folder / "network.rdz").write_bytes(data)
    weights = sum(parameter.numel() for parameter in Stack(millions).parameters()) / MILLION
    beside = most[0] / weights - NETWORK_MB
    print(
        f"| {weights:.0f} M | {recipe} | {len(data):,} | {8 * len(data) / weights / MILLION:.2f} "
        f"| {seconds / weights:.2f} s | {wall:.0f} s | {beside:.1f} MB ",
        end="",
    )


def decoded(folder: Path, millions: float) -> None:
    """Print the other half."""
    rdsearch.load(trial("uniform", 0.5, 0.1, None), into=Stack(0.1))
    network = Stack(millions)
    weights = sum(parameter.numel() for parameter in network.parameters()) / MILLION
    started = time.process_time()
    with peak() as most:
        rdsearch.load(folder / "network.rdz", into=network)
    print(f"| {(time.process_time() - started) / weights:.2f} s | {most[0] / weights:.1f} MB |")


@contextmanager
def loops(of: str) -> Iterator[None]:
    """Levels chosen by the compiled loops of a processor, or by torch's, as on a GPU, but where the tensors are."""
    before = propagation._follow, levels.descend
    if of == "torch":
        propagation._follow, levels.descend = propagation._follow_on_gpu, descent._descend_on_gpu
    try:
        yield
    finally:
        propagation._follow, levels.descend = before


def solver(rows: int) -> None:
    """Seconds of a large layer's levels."""
    columns = 4608
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2 * columns, columns, generator=generator, dtype=torch.float64)
    moments = damped(inputs.T @ inputs / len(inputs))
    weights = 3 * torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    small = slice(8)
    choose_levels(weights[small, :64], weights[small, :64] != 0, moments[:64, :64], moments[:64, :64], 0.05, 1)
    print("| loops | rows | threads | factor | levels | of the processor | different levels |")
    print("|---|---|---|---|---|---|---|")
    found: Tensor | None = None
    for of, threads in [("compiled", one) for one in sorted({1, torch.get_num_threads()})] + [("torch", 1)]:
        torch.set_num_threads(threads)
        started = time.perf_counter()
        factor = inverse_factor(moments)
        between, used = time.perf_counter(), time.process_time()
        with loops(of):
            chosen = choose_levels(weights, weights != 0, moments, factor, 0.05, 9)
        seconds = [between - started, time.perf_counter() - between, time.process_time() - used]
        found = chosen if found is None else found
        cells = " | ".join(f"{one:.1f} s" for one in seconds)
        print(f"| {of} | {rows} | {threads} | {cells} | {int((chosen != found).sum())} |", flush=True)


def beyond() -> None:
    """A file of more values than 32 bits count."""
    shape = (70_000, 32_768)
    few = np.arange(-7, 8, dtype=np.int8).reshape(3, 5)
    layout = Layout((Entry("weight", "large", shape), Entry("weight", "after", few.shape)))
    levels = {"large": (np.broadcast_to(np.int8(0), shape), 0.5), "after": (few, 0.5)}
    started = time.process_time()
    data = encode_file(NetworkFile(layout, levels, {}))
    between = time.process_time()
    found = decode_file(data, lambda _: layout).weights
    seconds = time.process_time() - between
    if found["large"][0].shape != shape or found["large"][0].any() or not np.array_equal(found["after"][0], few):
        raise SystemExit("the file did not give its values back")
    print(
        f"{layout.weight_count:,} values, {layout.weight_count / 2**31:.2f} x 2^31: {len(data):,} bytes, coded in "
        f"{between - started:.1f} s of the processor and decoded in {seconds:.1f} s"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="+", default=[25, 100, 300, 1000], help="millions of weights")
    parser.add_argument("--recipes", nargs="+", default=["uniform"], choices=RECIPES)
    parser.add_argument("--step", type=float, default=0.5, help="distance between levels, in root mean squares")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--solver", action="store_true", help="time the levels of one large layer, and nothing else")
    parser.add_argument("--rows", type=int, default=512, help="of that layer")
    parser.add_argument("--beyond", action="store_true", help="code a file of more than 2^31 values, and nothing else")
    parser.add_argument("--networks", nargs="*", help="time trials of these networks of torchvision, and nothing else")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    if options.part:
        name, folder = options.part
        if name == "trial":
            one(Path(folder), options.recipes[0], options.step, options.sizes[0])
        else:
            decoded(Path(folder), options.sizes[0])
        return
    print(f"{machine('torch', 'numpy')}; {options.threads} threads\n")
    if options.solver or options.beyond:
        if options.solver:
            solver(options.rows)
        else:
            beyond()
        return
    if options.networks is not None:
        print("| network | weights | recipe | bytes | bits a weight | processor | wall | memory |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        for name in options.networks or NETWORKS:
            for recipe in options.recipes:
                known(name, recipe, options.step)
        return
    print("| weights | recipe | bytes | bits a weight | processor / M | wall | memory / M | decode / M | memory / M |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for millions in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / "network.safetensors", millions)
            for recipe in options.recipes:
                given = ["--sizes", str(millions), "--recipes", recipe, "--step", str(options.step)]
                for part in ("trial", "decode"):
                    command = [sys.executable, "-m", "benchmarks.scale", *given, "--part", part, folder]
                    subprocess.run([*command, "--threads", str(options.threads)], check=True)


if __name__ == "__main__":
    try:
        main()
    except TaskError as error:
        raise SystemExit(str(error)) from None
