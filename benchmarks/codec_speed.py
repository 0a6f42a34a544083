"""Speed of encoding and decoding integers, on the shapes of small and large networks.

    python -m benchmarks.codec_speed
    python -m benchmarks.codec_speed --threads

The first prints processor time on one core, the median of several runs: what other work on the machine changes least.
Decoding is measured twice, by the decoder in C and by the functions that numba compiles, which the package uses where
it was installed without a C compiler. `--threads` prints elapsed time, on one processor and on more: only a machine
that does nothing else gives figures that mean anything.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from rdsearch.coding import native
from rdsearch.coding.arrays import decode_arrays, encode_arrays
from rdsearch.coding.segments import decode_tensors

Shapes = list[tuple[int, ...]]
Clock = Callable[[], float]


def resnet50_shapes() -> Shapes:
    """The convolutions and the classifier of ResNet-50 (He et al., 2016), 25.5 million weights."""
    shapes: Shapes = [(64, 3, 7, 7)]
    before = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            shapes += [(width, before, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)]
            if block == 0:
                shapes.append((4 * width, before, 1, 1))
            before = 4 * width
    return [*shapes, (1000, before)]


SPEED_SHAPES: dict[str, Shapes] = {
    "LeNet-300-100": [(300, 784), (100, 300), (10, 100)],
    "LeNet-5-Caffe": [(20, 1, 5, 5), (50, 20, 5, 5), (500, 800), (10, 500)],
    "matrix 1000 x 1000": [(1000, 1000)],
    "convolution 352 x 320 x 3 x 3": [(352, 320, 3, 3)],
    "ResNet-50": resnet50_shapes(),
}


def of_sparsity(shapes: Shapes, sparsity: float) -> list[np.ndarray]:
    """Laplacian tensors whose rows and columns differ in scale, rounded so that this share of each is zero."""
    random = np.random.default_rng(0)
    tensors = []
    for shape in shapes:
        trailing = (1,) * (len(shape) - 2)
        scale = np.exp(0.6 * random.standard_normal((shape[0], 1, *trailing)), dtype=np.float32)
        values = random.standard_exponential(shape, np.float32) * scale
        values *= np.exp(0.6 * random.standard_normal((1, shape[1], *trailing)), dtype=np.float32)
        threshold = float(np.quantile(values, sparsity))
        signs = 1 - 2 * random.integers(0, 2, shape, np.int8)
        tensors.append(np.where(values > threshold, 1 + (values - threshold) / threshold, 0).astype(np.int32) * signs)
    return tensors


@contextmanager
def by_numba() -> Iterator[None]:
    """Decode as without a C compiler."""
    library = native.library
    native.library = lambda: None  # type: ignore[assignment]
    try:
        yield
    finally:
        native.library = library


def median(work: Callable[[], object], repeats: int, clock: Clock = time.process_time) -> float:
    taken = []
    for _ in range(repeats):
        started = clock()
        work()
        taken.append(clock() - started)
    return statistics.median(taken)


def times(tensors: list[np.ndarray], repeats: int, clock: Clock = time.process_time) -> tuple[float, float, float]:
    """Seconds of encoding, of decoding in C, and by numba."""
    data, shapes = encode_arrays(tensors), [tensor.shape for tensor in tensors]
    encode = median(lambda: encode_arrays(tensors), repeats, clock)
    in_c = median(lambda: decode_tensors(data, shapes), repeats, clock)
    with by_numba():
        compiled = median(lambda: decode_tensors(data, shapes), repeats, clock)
    return encode, in_c, compiled


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def rates(weights: int, seconds: tuple[float, ...]) -> list[str]:
    """Million weights a second."""
    return [f"{weights / taken / 1e6:.1f}" for taken in seconds]


def on_one_core() -> None:
    row("shapes", "weights", "zeros", "bytes", "encoding", "decoding, C", "decoding, numba")
    row(*["---"] * 7)
    for name, shapes in SPEED_SHAPES.items():
        weights = sum(map(math.prod, shapes))
        small = weights < 10**7
        for sparsity in (0.5, 0.9, 0.97) if small else (0.9,):
            tensors = of_sparsity(shapes, sparsity)
            size = f"{len(encode_arrays(tensors)):,}"
            row(name, f"{weights:,}", sparsity, size, *rates(weights, times(tensors, 7 if small else 3)))
    one_of_many()


def one_of_many() -> None:
    """Processor time of a single tensor against that of the whole payload."""
    shapes = SPEED_SHAPES["ResNet-50"]
    data = encode_arrays(of_sparsity(shapes, 0.9))
    whole = median(lambda: decode_tensors(data, shapes), 3)
    for index in (0, len(shapes) // 2, len(shapes) - 1):
        one = median(lambda index=index: decode_tensors(data, shapes, wanted=[index]), 3)  # type: ignore[misc]
        shape = "x".join(map(str, shapes[index]))
        print(f"tensor {index + 1} of {len(shapes)}, {shape}, of ResNet-50: {1000 * one:.0f} of {1000 * whole:.0f} ms")


def on_several() -> None:
    """Elapsed time by how many processors may be used: segments are coded side by side, a thread a processor."""
    shapes = SPEED_SHAPES["ResNet-50"]
    weights = sum(map(math.prod, shapes))
    tensors = of_sparsity(shapes, 0.9)
    available = sorted(os.sched_getaffinity(0))
    row("processors", "encoding", "decoding, C", "decoding, numba")
    row(*["---"] * 4)
    for count in [count for count in (1, 2, 4, 8, 16) if count <= len(available)]:
        os.sched_setaffinity(0, available[:count])
        row(count, *rates(weights, times(tensors, 3, time.perf_counter)))
    print(f"ResNet-50's shapes, {weights:,} weights, 90 % zeros, medians of 3; load {os.getloadavg()[0]:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", action="store_true", help="elapsed time on one processor and on more")
    arguments = parser.parse_args()
    if native.library() is None:
        raise SystemExit("the decoder in C is not there: install the package where there is a C compiler")
    tiny = [np.eye(3, dtype=np.int32)]
    with by_numba():
        decode_arrays(encode_arrays(tiny), [(3, 3)])  # compiles, or reads what an earlier process kept
    if arguments.threads:
        on_several()
    else:
        on_one_core()


if __name__ == "__main__":
    main()
