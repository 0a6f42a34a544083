"""Make the golden payloads of `encode_arrays`: `python tests/coding/make_golden.py` writes golden/*.

A payload that the codec has once written must decode to the same integers for ever. Run this only together with a
new version of the format, and keep the old files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rdsearch.coding.arrays import encode_arrays

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


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for name, arrays in cases().items():
        (GOLDEN / f"arrays_{name}.bin").write_bytes(encode_arrays(arrays))
        np.savez_compressed(GOLDEN / f"arrays_{name}.npz", *arrays)


if __name__ == "__main__":
    main()
