"""Make the golden payloads and files: `python -m tests.coding.make_golden` writes golden/*.

What the codec has once written must decode to the same values for ever. Run this only together with a new version of
the format, and keep the old files.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from rdsearch.coding.arrays import encode_arrays
from rdsearch.coding.cells import Cells
from rdsearch.coding.layout import Entry, Layout
from rdsearch.coding.networkfile import NetworkFile, decode_file, encode_file, prefix_ends
from rdsearch.coding.progressive import Refinement

GOLDEN = Path(__file__).parent / "golden"


def cases() -> dict[str, list[np.ndarray]]:
    """The tensors of each golden payload, by its name."""
    random = np.random.default_rng(20240607)

    def laplacian(*shape: int, scale: float) -> np.ndarray:
        rows = np.exp(0.7 * random.standard_normal((shape[0], *(1,) * (len(shape) - 1))))
        return np.round(scale * rows * random.laplace(size=shape)).astype(np.int32)

    dead = laplacian(40, 60, scale=0.3)
    dead[::3] = 0
    dead[:, ::4] = 0
    return {
        "convolutional": [
            laplacian(8, 3, 3, 3, scale=2.0),
            laplacian(16, 8, 3, 3, scale=0.4),
            laplacian(16, 1, 5, 5, scale=1.0),
            laplacian(10, 16, 1, 1, scale=8.0),
        ],
        "sparse_linear": [dead, laplacian(10, 40, scale=0.5), np.zeros((10, 10), np.int32)],
        "edges": [
            np.array(-(2**31)),
            np.array([2**31 - 1, 0, -1, 5, 9, 70, -700, 7_000, -700_000]),
            np.zeros((0, 4), np.int32),
            np.ones((3, 3), np.int32),
        ],
    }


def layered() -> bytes:
    """A file of a small network in three layers."""
    kernels, *_, matrix = cases()["convolutional"]
    entries = (
        Entry("weight", "conv.weight", kernels.shape),
        Entry("batchnorm", "bn", (8,), "1e-05"),
        Entry("weight", "fc.weight", matrix.shape),
        Entry("vector", "fc.bias", (10,)),
        Entry("buffer", "table", (3,), "int64"),
    )
    network = NetworkFile(
        layout=Layout(entries),
        weights={"conv.weight": (kernels, 0.25), "fc.weight": (matrix, 0.125)},
        vectors={
            "bn.scale": (np.arange(40, 48), 0.0625),
            "bn.shift": (np.arange(-4, 4), 0.5),
            "fc.bias": (np.arange(10) ** 2, 0.25),
        },
        buffers={"table": np.array([1, -(2**40), 3])},
        recipe={"pruning": {"rate": 0.5}},
    )
    vectors = [levels for levels, _ in network.vectors.values()]
    coarser = [
        Refinement([Cells(4, 4), Cells(12, 8)], [12, 20], 3, [(levels >> 3) + 1 for levels in vectors]),
        Refinement([Cells(2, 2), Cells(4, 8)], [3, 21], 1, [(levels >> 1) - 2 for levels in vectors]),
    ]
    return encode_file(network, coarser)


def no_network(network_id: str) -> Layout:
    """Finds none: golden files list their tensors."""
    raise LookupError(network_id)


LAYOUT = Layout(
    (
        Entry("weight", "conv.weight", (4, 3, 3, 3)),
        Entry("batchnorm", "norm", (4,), "1e-05"),
        Entry("buffer", "norm.table", (2, 2), "int64"),
        Entry("weight", "fc.weight", (5, 4)),
        Entry("vector", "fc.bias", (5,)),
        Entry("tied", "out.weight", (5, 4), "fc.weight"),
    )
)
EDGES = Layout(
    (
        Entry("weight", "empty", (0, 3)),
        Entry("weight", "zeros", (6, 7)),
        Entry("vector", "scalar", ()),
        Entry("vector", "one", (1,)),
        Entry("weight", "widest", (1, 2)),
        Entry("buffer", "flag", (), "bool"),
        Entry("buffer", "bytes", (3,), "uint8"),
        Entry("buffer", "table", (2,), "float32"),
    )
)
LAYOUTS = {"golden": LAYOUT}
"""Layouts of registered networks in the golden files."""


def files() -> dict[str, bytes]:
    """Each golden ``.rdz`` file, by its name: one a feature of the format."""
    random = np.random.default_rng(20240608)

    def levels(*shape: int, scale: float = 2.0) -> np.ndarray:
        return np.round(scale * random.laplace(size=shape)).astype(np.int32)

    weights = {"conv.weight": (levels(4, 3, 3, 3), 0.25), "fc.weight": (levels(5, 4), 0.25)}
    vectors = {
        "norm.scale": (levels(4, scale=30.0), 0.03125),
        "norm.shift": (levels(4), 0.5),
        "fc.bias": (levels(5), 0.125),
    }
    buffers = {"norm.table": np.array([[1, -2], [2**40, 0]])}
    plain = NetworkFile(LAYOUT, weights, vectors, buffers)
    edges = NetworkFile(
        EDGES,
        {
            "empty": (np.zeros((0, 3), np.int32), 0.0),
            "zeros": (np.zeros((6, 7), np.int32), 0.5),
            "widest": (np.array([[-(2**31), 2**31 - 1]], np.int32), 1.0),
        },
        {"scalar": (np.array(-3, np.int32), 0.25), "one": (np.array([7], np.int32), 0.25)},
        {
            "flag": np.array(True),
            "bytes": np.array([0, 128, 255], np.uint8),
            "table": np.array([1.5, -0.1], np.float32),
        },
    )
    return {
        "listed": encode_file(plain),
        "registered": encode_file(replace(plain, network_id="golden")),
        "own_steps": encode_file(replace(plain, weights=weights | {"fc.weight": (weights["fc.weight"][0], 0.0625)})),
        "recipe": encode_file(replace(plain, recipe={"pruning": {"rate": 0.2, "skip": ["é*"]}})),
        "edges": encode_file(edges),
    }


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for name, data in files().items():
        (GOLDEN / f"{name}.rdz").write_bytes(data)
        np.savez_compressed(GOLDEN / f"{name}.rdz.npz", **decode_file(data, LAYOUTS.__getitem__).state_dict())
    for name, arrays in cases().items():
        (GOLDEN / f"arrays_{name}.bin").write_bytes(encode_arrays(arrays))
        np.savez_compressed(GOLDEN / f"arrays_{name}.npz", *arrays)
    data = layered()
    (GOLDEN / "layered.rdz").write_bytes(data)
    for number, end in enumerate(prefix_ends(data), start=1):
        state = decode_file(data[:end], no_network).state_dict()
        np.savez_compressed(GOLDEN / f"layered_{number}.npz", **state)


if __name__ == "__main__":
    main()
