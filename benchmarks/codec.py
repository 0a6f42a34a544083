"""Size and speed of the integer codec beside other coders, on a checkpoint's weights or on built-in synthetic ones.

    python benchmarks/codec.py
    python benchmarks/codec.py --checkpoint resnet20.th --sparsity 0.9 --step 0.0390625
    python benchmarks/codec.py --levels pruned.npz --ablate
    python benchmarks/codec.py --levels results/mnist_lenet5/front/*.rdz --nncodec nncodec/bin/python
    python benchmarks/codec.py --checkpoint resnet20.th --grid --nncodec nncodec/bin/python

A checkpoint's tensors of two or more dimensions are pruned together by magnitude to the sparsity, then rounded to
multiples of the step. `--levels` takes integers as they are, from an .npz
or from the weights of .rdz files. `--nncodec` names the Python of an
environment that has NNCodec, which is then measured on the same integers (see nncodec_coder.py); `--grid` prints both
for the cells of the table in docs/codec.md. `--ablate` prints what each part of the model saves, by taking it out of
the source, compiling that and coding again (about ten seconds a part). For time see codec_speed.py.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import lzma
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import constriction
import numpy as np

from rdsearch.coding import stream
from rdsearch.coding.arrays import decode_arrays, encode_arrays
from rdsearch.coding.model import kernels
from rdsearch.coding.networkfile import decode_file
from rdsearch.coding.registered import stored_layout

Tensors = list[np.ndarray]
MODEL = Path(str(kernels.__file__)).parent

# What is taken out: the assignments that begin so, in kernels.py, get the same context for every weight.
MAGNITUDE_CONTEXTS = {
    "joint expectation (row x column, neighbourhood)": "slots[0] = 3 *",
    "nearest four weights": "slots[1] = ((few",
    "row mean x column mean": "slots[2] = half_row",
    "column mean x tensor mean": "slots[3] = half_column",
    "neighbourhood sum x local mean": "slots[4] = dozen",
    "earlier tensors' rows": "slots[5] = prior_context",
    "adjacent columns": "slots[6] = min(max(column_level",
    "forecast": "slots[7] = min(3 * abs(forecast) >> 5",
}
SIGN_NEIGHBOURS = ["slots[0] = (beside_above", "slots[1] = (ternary", "slots[6] = min(max(slope"]
SIGN_SUMS = ["slots[2] = lean", "slots[3] = lean", "slots[5] = position * 25 + lean"]
SIGN_FORECAST = ["slots[4] = leaning", "slots[7] = leaning", "bias = min(max(-forecast"]


def ablations() -> dict[str, dict[str, dict[str, str]]]:
    """Edits by part of the model: module, beginning of an assignment, new right-hand side."""

    def constant(*starts: str) -> dict[str, dict[str, str]]:
        return {"kernels": dict.fromkeys(starts, "0")}

    return {
        **{f"magnitude: {name}": constant(start) for name, start in MAGNITUDE_CONTEXTS.items()},
        "magnitude: all eight contexts": constant(*MAGNITUDE_CONTEXTS.values()),
        "sign: neighbours' signs": constant(*SIGN_NEIGHBOURS),
        "sign: sums over row, column, tap": constant(*SIGN_SUMS),
        "sign: forecast": constant(*SIGN_FORECAST),
        "sign: all eight contexts": constant(*SIGN_NEIGHBOURS, *SIGN_SUMS, *SIGN_FORECAST),
        "mixing: weights chosen by tensor mean": constant("set_magnitude ="),
        "mixing: second set of weights, by kernel position": {"mixing": {"odds_b =": "odds_a"}},
        "mixing: final adaptive map": {"mixing": {"refined =": "squash[odds]"}},
    }


def synthetic(seed: int = 0) -> Tensors:
    """Every kind of layer: convolutions, depthwise, 1x1, attention, and a linear one with dead rows and columns."""
    random = np.random.default_rng(seed)

    def layer(*shape: int, step: float, spread: float = 0.6) -> np.ndarray:
        trailing = (1,) * (len(shape) - 2)
        rows = np.exp(spread * random.standard_normal((shape[0], 1, *trailing)))
        columns = np.exp(spread * random.standard_normal((1, shape[1], *trailing)))
        return np.round(rows * columns * random.laplace(size=shape) / step).astype(np.int32)

    dead = layer(400, 800, step=5.0)
    dead[random.random(400) < 0.4] = 0
    dead[:, random.random(800) < 0.4] = 0
    return [
        layer(32, 3, 3, 3, step=1.0),
        layer(64, 32, 3, 3, step=3.0),
        layer(64, 1, 3, 3, step=1.0),
        layer(256, 64, 1, 1, step=2.0),
        layer(192, 192, step=3.0, spread=0.9),
        dead,
    ]


def quantized_checkpoint(path: Path, sparsity: float, step: float) -> Tensors:
    import torch

    loaded = torch.load(path, map_location="cpu", weights_only=True)
    weights = [value.float().numpy() for value in loaded.get("state_dict", loaded).values() if value.ndim >= 2]
    magnitudes = np.concatenate([np.abs(weight).ravel() for weight in weights])
    pruned = round(sparsity * magnitudes.size)
    threshold = np.partition(magnitudes, pruned - 1)[pruned - 1] if pruned else -1.0
    return [np.round(np.where(np.abs(weight) <= threshold, 0, weight) / step).astype(np.int32) for weight in weights]


def stored_levels(path: Path) -> Tensors:
    if path.suffix == ".rdz":
        return [levels.astype(np.int32) for levels, _ in decode_file(path.read_bytes(), stored_layout).weights.values()]
    with np.load(path) as stored:
        return [stored[key] for key in stored.files]


def entropy_bytes(tensors: Tensors) -> int:
    """Sum of each tensor's empirical entropy: what a static code with a free table would take."""
    bits = 0.0
    for tensor in filter(np.size, tensors):
        counts = np.unique(tensor, return_counts=True)[1]
        bits -= float((counts * np.log2(counts / tensor.size)).sum())
    return round(bits / 8)


def static_categorical(tensors: Tensors) -> bytes:
    """One table a tensor (a byte a level and two a count, after the lowest level), coded by constriction."""
    encoder, header = constriction.stream.queue.RangeEncoder(), b""
    for tensor in filter(np.size, tensors):
        lowest = int(tensor.min())
        symbols = (tensor - lowest).ravel().astype(np.int32)
        counts = np.bincount(symbols, minlength=2)
        header += bytes(4 + 3 * int(np.count_nonzero(counts)))
        encoder.encode(symbols, constriction.stream.model.Categorical(counts.astype(np.float64), perfect=False))
    return header + encoder.get_compressed().tobytes()


def plain_bytes(tensors: Tensors) -> bytes:
    widest = max((int(np.abs(tensor.astype(np.int64)).max()) for tensor in tensors if tensor.size), default=0)
    return b"".join(tensor.astype(np.min_scalar_type(-widest - 1)).tobytes() for tensor in tensors)


def general_coders() -> dict[str, Callable[[bytes], bytes]]:
    coders: dict[str, Callable[[bytes], bytes]] = {
        "zlib -9": lambda data: zlib.compress(data, 9),
        "xz -9e": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
    }
    if importlib.util.find_spec("zstandard"):
        coders["zstd -19"] = lambda data: importlib.import_module("zstandard").compress(data, 19)
    if importlib.util.find_spec("brotli"):
        coders["brotli -11"] = lambda data: importlib.import_module("brotli").compress(data, quality=11)
    return coders


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Processor time of the fastest of a few runs: all coders here run on one core, whatever else the machine does."""
    best = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


def nncodec(python: str, tensors: Tensors) -> tuple[str, int, float, float] | None:
    """NNCodec's version, bytes, and seconds of encoding and decoding; `None` where that Python does not have it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tensors.npz"
        np.savez(path, **{f"{index:04}": tensor for index, tensor in enumerate(tensors) if tensor.size})
        script = Path(__file__).with_name("nncodec_coder.py")
        done = subprocess.run([python, script, path], capture_output=True, text=True, check=False)
    if "No module named 'nncodec'" in done.stderr:
        return None
    if done.returncode:
        raise SystemExit(f"{python}: {done.stderr.strip().splitlines()[-1]}")
    name, size, encode, decode = json.loads(done.stdout)
    return name, size, encode, decode


def compare(tensors: Tensors, python: str) -> None:
    shapes = [tensor.shape for tensor in tensors]
    count = sum(tensor.size for tensor in tensors)
    zeros = 1 - sum(int(np.count_nonzero(tensor)) for tensor in tensors) / count
    started = time.perf_counter()
    data = encode_arrays(tensors)
    first = time.perf_counter() - started
    if not all(np.array_equal(a, b) for a, b in zip(tensors, decode_arrays(data, shapes), strict=True)):
        raise SystemExit("the codec did not give the tensors back")
    encode, decode = seconds(lambda: encode_arrays(tensors)), seconds(lambda: decode_arrays(data, shapes))
    entropy, plain = entropy_bytes(tensors), plain_bytes(tensors)
    print(f"{len(tensors)} tensors, {count} weights, {zeros:.1%} zeros; first call {first:.1f} s")
    print(f"{'coder':<22}{'bytes':>10}{'bits/weight':>13}{'encode M/s':>12}{'decode M/s':>12}")

    def row(name: str, size: int, *speeds: float) -> None:
        print(f"{name:<22}{size:>10}{8 * size / count:>13.4f}" + "".join(f"{count / s / 1e6:>12.2f}" for s in speeds))

    row("rdsearch", len(data), encode, decode)
    peer = nncodec(python, tensors)
    if peer is not None:
        row(f"NNCodec {peer[0]}", *peer[1:])
    row("entropy, per tensor", entropy)
    row("static categorical", len(static_categorical(tensors)), seconds(lambda: static_categorical(tensors)))
    for name, coder in general_coders().items():
        row(name, len(coder(plain)), seconds(lambda coder=coder: coder(plain), repeats=1))  # type: ignore[misc]
    if peer is None:
        print(f"NNCodec is not shown: {python} does not have it (--nncodec; see benchmarks/nncodec_coder.py)")


def grid(path: Path, python: str) -> None:
    """Both coders over steps and sparsities, as the table of docs/codec.md."""
    sparsities = (0.0, 0.5, 0.8, 0.9, 0.95)
    print("| step | " + " | ".join(f"{sparsity:g}" for sparsity in sparsities) + " |")
    for step in (0.015625, 0.0390625, 0.09375):
        cells = []
        for sparsity in sparsities:
            tensors = quantized_checkpoint(path, sparsity, step)
            ours, peer = len(encode_arrays(tensors)), nncodec(python, tensors)
            beside = f"{peer[1]:,} → {ours:,} (×{ours / peer[1]:.3f})" if peer else f"{ours:,}"
            cells.append(beside)
        print(f"| {step:g} | " + " | ".join(cells) + " |", flush=True)


def edited(source: str, edits: dict[str, str]) -> str:
    """A module's source with the right-hand sides of some assignments replaced."""
    for start, replacement in edits.items():
        if source.count(start) != 1:
            raise SystemExit(f"ablation: {start!r} occurs {source.count(start)} times, not once")
        at = source.index(start)
        left = start.split("=", 1)[0].rstrip()
        source = source[:at] + f"{left} = {replacement}" + source[source.index("\n", at) :]
    return source


def variant(folder: Path, name: str, edits: dict[str, dict[str, str]]) -> ModuleType:
    """A copy of the compiled modules with some assignments edited."""
    (folder / name).mkdir()
    for path in MODEL.glob("*.py"):
        source = edited(path.read_text(), edits.get(path.stem, {}))
        (folder / name / path.name).write_text(source.replace(kernels.__package__, name))
    return importlib.import_module(f"{name}.kernels")


def ablate(tensors: Tensors) -> None:
    full = len(encode_arrays(tensors))
    print(f"\n| left out | bytes | more |\n|---|---|---|\n| nothing | {full:,} | |")
    with tempfile.TemporaryDirectory() as name:
        sys.path.insert(0, name)
        for number, (part, edits) in enumerate(ablations().items()):
            stream.kernels = variant(Path(name), f"ablated_{number}", edits)  # type: ignore[assignment]
            size = len(encode_arrays(tensors))
            print(f"| {part} | {size:,} | {size / full - 1:+.2%} |", flush=True)
        stream.kernels = kernels
        sys.path.remove(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--checkpoint", type=Path, help="a state dict that torch.load reads with weights_only=True")
    source.add_argument("--levels", type=Path, nargs="+", help="an .npz of integer tensors, or an .rdz file")
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--step", type=float, default=0.0390625)
    parser.add_argument("--nncodec", metavar="PYTHON", default=sys.executable, help="a Python that has NNCodec")
    parser.add_argument("--grid", action="store_true", help="a checkpoint at several steps and sparsities")
    parser.add_argument("--ablate", action="store_true", help="print what each part of the model saves")
    arguments = parser.parse_args()
    if arguments.grid:
        if arguments.checkpoint is None:
            parser.error("--grid takes the weights of a --checkpoint")
        grid(arguments.checkpoint, arguments.nncodec)
        return
    sources = {"": synthetic} if not (arguments.checkpoint or arguments.levels) else {}
    if arguments.checkpoint:
        sources[""] = lambda: quantized_checkpoint(arguments.checkpoint, arguments.sparsity, arguments.step)
    for path in arguments.levels or ():
        sources[f"{path}: "] = lambda path=path: stored_levels(path)  # type: ignore[misc]
    for name, made in sources.items():
        tensors = made()
        print(name, end="")
        compare(tensors, arguments.nncodec)
        if arguments.ablate:
            ablate(tensors)


if __name__ == "__main__":
    main()
