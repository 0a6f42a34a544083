"""What each quality layer of a file shall know of the weights' levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdsearch.coding.cells import FINEST, Cells
from rdsearch.coding.model.state import MAX_OPTIONS

RATIO = 0.7
"""A layer's prefix aims at this share of the bits of the next layer's prefix..."""
LEAST_SHARE = 0.35
"""...or at more, so that the first layer has this share of the file: fewer bytes are seldom worth having."""
_WIDENINGS = (1, 2, 3, 4, 6, 8)
_LARGEST = 2**14
"""Larger magnitudes count as this one in the choice."""
_BISECTIONS = 50
_LOST = 1 - 1e-9
_WORTHWHILE = 0.98
"""A layer with more of the next one's bits is left out."""

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Choices:
    """Cells that a tensor may have in a layer, the next layer's own first.

    Attributes:
        cells: The cells.
        bits: (choices,): entropy of the cells' frequencies, and a bit for every sign.
        distortion: (choices,): minus the logarithm of the share of the tensor's energy that is not squared error, the
            cells reconstructed at their centroids. A layer's outputs keep about that share, and the shares of a chain
            of layers multiply: one layer that keeps next to nothing cannot be made up for by the others.
    """

    cells: list[Cells]
    bits: Floats
    distortion: Floats


def choose_cells(levels: Sequence[np.ndarray], count: int) -> list[list[Cells]]:
    """Cells of each tensor in every layer before the last one, chosen from fine to coarse.

    Each layer minimises the sum over all tensors of distortion plus bits times a price, the price at which the bits are
    the wanted share of the next layer's (Lagrangian bit allocation, Shoham and Gersho 1988, "Efficient bit allocation
    for an arbitrary set of quantizers").

    Args:
        levels: int32 arrays of any shape, one a tensor.
        count: Layers wanted, the last one included.

    Returns:
        At most ``count - 1`` layers, coarse first; fewer where the levels are too few to be told apart in so many ways.
    """
    counts = [_magnitudes(array) for array in levels]
    chosen: list[list[Cells]] = []
    current = [FINEST] * len(levels)
    ratio = max(RATIO, LEAST_SHARE ** (1 / max(count - 1, 1)))
    bits = sum(_measure(cells, tensor)[0] for cells, tensor in zip(current, counts, strict=True))
    share = bits
    for _ in range(count - 1):
        share *= ratio
        choices = [_choices(cells, tensor) for cells, tensor in zip(current, counts, strict=True)]
        picked = _allocate(choices, share)
        found = sum(float(choice.bits[index]) for choice, index in zip(choices, picked, strict=True))
        if not 0 < found <= _WORTHWHILE * bits:
            continue
        current = [choice.cells[index] for choice, index in zip(choices, picked, strict=True)]
        chosen.insert(0, current)
        bits = found
    return chosen


def _allocate(choices: Sequence[_Choices], wanted: float) -> list[int]:
    """One choice a tensor, of at most the wanted bits in all where that can be."""

    def at(price: float) -> list[int]:
        return [int(np.argmin(choice.distortion + price * choice.bits)) for choice in choices]

    low, high = -50.0, 20.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        bits = sum(choice.bits[index] for choice, index in zip(choices, at(2.0**middle), strict=True))
        low, high = (middle, high) if bits > wanted else (low, middle)
    return at(2.0**high)


def _magnitudes(array: np.ndarray) -> Counts:
    """How many levels have each magnitude, 0 .. the largest: (magnitudes,), int64."""
    magnitudes = np.minimum(np.abs(array.astype(np.int64)), _LARGEST)
    return np.bincount(magnitudes.ravel(), minlength=1)


def _choices(cells: Cells, counts: Counts) -> _Choices:
    found = [cells, *_coarser(cells, counts)]
    figures = np.array([_measure(one, counts) for one in found])
    energy = max(float((counts * np.arange(counts.size) ** 2).sum()), 1.0)
    return _Choices(found, figures[:, 0], -np.log1p(-np.minimum(figures[:, 1] / energy, _LOST)))


def _coarser(cells: Cells, counts: Counts) -> Iterator[Cells]:
    """Cells that these ones split, and that leave some weight more than zero."""
    for widening in _WIDENINGS:
        for merged in range(MAX_OPTIONS):
            dead = cells.dead + merged * cells.width
            if dead >= counts.size:
                break
            if merged or widening > 1:
                yield Cells(dead, cells.width * widening)


def _measure(cells: Cells, counts: Counts) -> tuple[float, float]:
    """Bits, and squared error."""
    total = int(counts.sum())
    if cells.dead >= counts.size:
        return 0.0, 0.0
    starts = np.concatenate([[0], np.arange(cells.dead, counts.size, cells.width)])
    magnitudes = np.arange(counts.size)
    weight = np.add.reduceat(counts, starts)
    first = np.add.reduceat(counts * magnitudes, starts)
    second = np.add.reduceat(counts * magnitudes**2, starts)
    occupied = weight[weight > 0]
    bits = float(-(occupied * np.log2(occupied / total)).sum()) + total - int(weight[0])
    inside = second[1:] - first[1:] ** 2 / np.maximum(weight[1:], 1)
    return bits, float(second[0] + inside.sum())
