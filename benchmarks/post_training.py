"""Post-training on small transformers at equal divergence: ``python -m benchmarks.post_training [llama] [bert] [vit]``.

The networks are those of `benchmarks.small_transformers`, trained here on the first call and kept in ``--folder``. Each
is made into files without pruning or training: by rounding each output channel to so many bits (zstd at level 19 after
it), by GPTQ at 4 and 3 bits from its own package (Intel's neural-compressor, symmetric, one scale a row, zstd likewise;
rows of embeddings are rounded to 8 bits, and the rest is in float16), and by this project at several steps, with one
step for all and with steps by sensitivity. Divergence is the mean of KL(float || file) in nats a prediction, on
sequences or images that neither training nor calibration has seen. Bytes between two steps are interpolated, logarithms
on lines.

    pip install --no-deps neural-compressor accelerate prettytable py-cpuinfo zstandard

GPTQ's rows are left out where the package is missing; zstandard has to be there.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import rdsearch
from benchmarks.machine import machine
from benchmarks.small_transformers import MAKERS, Trained, trained
from rdsearch.tasks.divergence import divergence

EXAMPLES = 256
"""Sequences or images that methods look at."""
BATCH = 32
LEVEL = 19
EMBEDDING_BITS = 8
OURS: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
    "uniform": ({"method": "uniform"}, (0.15, 0.3, 0.5, 0.8, 1.2)),
    "uniform, by sensitivity": ({"method": "uniform", "granularity": "sensitivity"}, (0.15, 0.3, 0.5, 0.8, 1.2)),
    "sequential": ({"method": "sequential"}, (0.35, 0.65, 1.1, 1.7, 2.6)),
    "sequential, by sensitivity": ({"method": "sequential", "granularity": "sensitivity"}, (0.35, 0.65, 1.1, 1.7, 2.6)),
}

Point = tuple[int, float]
"""Bytes and nats."""


def in_steps(values: Tensor, bits: int) -> tuple[np.ndarray, Tensor]:
    """Each row to so many bits, by a step of its own: int8 levels and float16 steps (rows, 1)."""
    matrix = values.detach().flatten(1)
    top = 2 ** (bits - 1) - 1
    steps = (matrix.abs().amax(1, keepdim=True) / top).half().clamp_min(torch.finfo(torch.float16).tiny)
    return (matrix / steps.float()).round().clamp(-top - 1, top).to(torch.int8).numpy(), steps


def zstd(parts: list[np.ndarray]) -> int:
    """Bytes of all parts together, without names or shapes."""
    import zstandard

    return len(zstandard.ZstdCompressor(level=LEVEL).compress(b"".join(part.tobytes() for part in parts)))


def far(trained: Trained, network: nn.Module) -> float:
    """Nats on the held-out inputs."""
    batches = [(part, part) for part in trained.held_out.split(BATCH)]
    with torch.no_grad():
        return divergence(trained.network, network.eval(), batches)


def rounded(trained: Trained, bits: dict[str, int], done: dict[str, list[np.ndarray]], network: nn.Module) -> Point:
    """A network whose further matrices are rounded by rows and whose vectors are float16: its file, and how far it is.

    Args:
        trained: What it is compared with.
        bits: Of each matrix.
        done: What stands in the file for those that were treated already.
        network: Changed in place.
    """
    parts: list[np.ndarray] = []
    for name, parameter in network.named_parameters():
        if name in done:
            parts += done[name]
        elif parameter.dim() > 1 and name in bits:
            levels, steps = in_steps(parameter, bits[name])
            parameter.data = (torch.from_numpy(levels).float() * steps.float()).view_as(parameter)
            parts += [levels, steps.numpy()]
        else:
            parameter.data = parameter.data.half().float()
            parts.append(parameter.detach().half().numpy())
    return zstd(parts), far(trained, network)


def by_rounding(trained: Trained, bits: int) -> Point:
    """Rounding of every matrix."""
    network = copy.deepcopy(trained.network)
    names = [name for name, parameter in network.named_parameters() if parameter.dim() > 1 and len(parameter) > 1]
    return rounded(trained, dict.fromkeys(names, bits), {}, network)


def by_gptq(trained: Trained, bits: int) -> Point:
    """GPTQ of the layers that its package takes, which are those in blocks."""
    from neural_compressor.torch.quantization import GPTQConfig, convert, prepare

    inner = copy.deepcopy(trained.network.network)
    settings = GPTQConfig(bits=bits, group_size=-1, use_sym=True, percdamp=0.01, act_order=True, model_path=".")
    prepared = prepare(inner, settings)
    for example in trained.calibration[:EXAMPLES].split(1):
        prepared(example)
    packed = convert(prepared)
    network, done = copy.deepcopy(trained.network), {}
    for name, layer in packed.named_modules():
        if hasattr(layer, "unpack"):
            found = layer.unpack()
            done[f"network.{name}.weight"] = [
                found["int_weight"].to(torch.int8).numpy(),
                found["scales"].half().numpy(),
            ]
            network.get_parameter(f"network.{name}.weight").data = layer.recover().float()
    names = [name for name, parameter in network.named_parameters() if parameter.dim() > 1 and len(parameter) > 1]
    return rounded(trained, dict.fromkeys(names, EMBEDDING_BITS), done, network)


def by_us(trained: Trained, settings: dict[str, Any], step: float) -> tuple[Point, float]:
    """A file of this project, and the processor's seconds."""
    targets, others = np.zeros(len(trained.calibration), int), np.zeros(len(trained.held_out), int)
    task = rdsearch.Task(
        network=trained.network,
        train=(trained.calibration.numpy(), targets),
        validation=(trained.held_out.numpy(), others),
        evaluate="kl",
    )
    recipe = {"pruning": None, "retrain": None, "quantization": settings | {"step": step, "calibration": EXAMPLES}}
    started = time.process_time()
    [point] = rdsearch.compress(task, recipe, device="cpu")
    return (point.size_bytes, abs(point.val_accuracy)), time.process_time() - started


def bytes_at(points: list[Point], nats: float) -> float:
    """Bytes at a divergence, on the lines between points; NaN outside."""
    ordered = sorted((nats, size) for size, nats in points)
    x, y = np.log([max(far, 1e-12) for far, _ in ordered]), np.log([size for _, size in ordered])
    return float(np.exp(np.interp(np.log(nats), x, y, left=np.nan, right=np.nan)))


def anchors(trained: Trained) -> Iterator[tuple[str, Point]]:
    """What others make of it."""
    for bits in (5, 4):
        yield f"rounding by rows, {bits} bits + zstd", by_rounding(trained, bits)
    try:
        for bits in (4, 3):
            yield f"GPTQ, {bits} bits + zstd", by_gptq(trained, bits)
    except ImportError as error:
        print(f"| GPTQ: left out, {error} |", flush=True)


def compare(name: str, folder: Path) -> None:
    """Print the tables of one network."""
    one = trained(name, folder)
    count = sum(parameter.numel() for parameter in one.network.parameters())
    print(f"\n{name}: {count:,} parameters, {one.loss:.3f} nats a prediction on held-out data\n")
    print("| method | step | bytes | nats | seconds |\n|---|---|---|---|---|", flush=True)
    curves: dict[str, list[Point]] = {}
    for label, (settings, steps) in OURS.items():
        for step in steps:
            point, seconds = by_us(one, settings, step)
            curves.setdefault(label, []).append(point)
            print(f"| {label} | {step:g} | {point[0]:,} | {point[1]:.5f} | {seconds:.1f} |", flush=True)
    print(
        f"\n| at the nats of | bytes | nats | {' | '.join(curves)} |\n|---|---|---|{'---|' * len(curves)}", flush=True
    )
    for label, (size, nats) in anchors(one):
        cells = [f"{bytes_at(curve, nats) / size:.2f}" for curve in curves.values()]
        print(f"| {label} | {size:,} | {nats:.5f} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "networks", nargs="*", metavar="network", help=f"out of {', '.join(MAKERS)}; all when none is named"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("small_transformers"), help="where trained networks are kept"
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    print(machine("torch", "transformers"))
    for name in options.networks or MAKERS:
        compare(name, options.folder)


if __name__ == "__main__":
    main()
