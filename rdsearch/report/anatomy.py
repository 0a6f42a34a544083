"""Where the bytes and the survivors of a file are, tensor by tensor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rdsearch.coding.arrays import is_void
from rdsearch.coding.networkfile import part_sizes
from rdsearch.compression.loading import decode, read_file
from rdsearch.errors import FileFormatError

MOST_WEIGHTS = 20_000_000
"""Files of more weights are not looked into for a page."""
VECTORS = "biases and normalisation"


@dataclass(frozen=True, slots=True)
class Part:
    """One weight of a network in a file, or its vectors.

    Attributes:
        name: Its name in the state dict; `VECTORS` for all biases and normalisation together.
        count: Values.
        survivors: Values that are not zero.
        bytes: About how many it takes: all tensors are coded in one stream, which is shared out by the entropy of each
            tensor's levels.
    """

    name: str
    count: int
    survivors: int
    bytes: float


def anatomy(path: Path) -> list[Part]:
    """The weights of a file in its order, then its vectors; none where it is damaged, gone or too large."""
    try:
        data = read_file(path)
        file = decode(path)
    except FileFormatError:
        return []
    if file.layout.weight_count > MOST_WEIGHTS:
        return []
    # Network, buffers, recipe and the header are no levels.
    levels_of = {**file.weights, **file.vectors}
    total = sum(size for name, size in part_sizes(data).items() if "weights" in name or VECTORS in name)
    bits = {name: _entropy(levels) for name, (levels, _) in levels_of.items()}
    scale = total / (sum(bits.values()) or 1.0)
    parts = [_part(name, [file.weights[name][0]], scale * bits[name]) for name in file.weights]
    if file.vectors:
        vectors = [levels for levels, _ in file.vectors.values()]
        parts.append(_part(VECTORS, vectors, scale * sum(bits[name] for name in file.vectors)))
    return parts


def _part(name: str, tensors: list[np.ndarray], size: float) -> Part:
    alive = sum(0 if is_void(levels) else int(np.count_nonzero(levels)) for levels in tensors)
    return Part(name, sum(levels.size for levels in tensors), alive, size)


def _entropy(levels: np.ndarray) -> float:
    """Bits of an array's values, were each coded by the frequency of its own."""
    if levels.size == 0 or is_void(levels):
        return 0.0
    _, counts = np.unique(levels, return_counts=True)
    return float(-(counts * np.log2(counts / levels.size)).sum())
