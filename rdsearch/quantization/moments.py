"""Second moments of a layer's inputs, and their products with the outputs that are wanted of them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdsearch.quantization.inputs import Layer, groups_of, patches, positions

Floats = NDArray[np.float64]

POSITIONS = 2**15
"""Output positions that moments are taken over, about: more of a convolution's positions are thinned out to these."""
_PARTS = 32
_ROUNDING = 1e-4
"""Of a layer's mean second moment: what float32 products leave of differences that should be zero."""


def thinning(layer: Layer, outputs: Tensor, share: float = 1.0) -> int:
    """Of how many positions along each spatial axis one is taken, given a share of a layer's outputs, or all."""
    axes = outputs.dim() - 2
    if isinstance(layer, torch.nn.Linear) or axes < 1:
        return 1
    total = outputs.shape[0] * math.prod(outputs.shape[2:]) / share
    return max(1, int((total / POSITIONS) ** (1 / axes)))


def sample_outputs(layer: Layer, outputs: Tensor) -> list[Tensor]:
    """Outputs at some positions, thinned out: for each of `parts` (groups, positions, rows of a group)."""
    every = thinning(layer, outputs)
    # Copies: what comes after the layer may change its outputs in place.
    return [positions(layer, outputs[part], every, first).clone() for part, first in parts(len(outputs))]


class Moments:
    """Means of products over the output positions of one layer, group by group, of all inputs added so far.

    Args:
        layer: The layer.
    """

    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        groups, columns = groups_of(layer), layer.weight[0].numel()
        rows = len(layer.weight) // groups
        self._xx = torch.zeros(groups, columns, columns, dtype=torch.float64)
        self._yx = torch.zeros(groups, rows, columns, dtype=torch.float64)
        self._x = torch.zeros(groups, columns, dtype=torch.float64)
        self._y: Tensor | None = None
        self._count = 0

    def add(self, inputs: Tensor, every: int, first: int = 0, outputs: Tensor | None = None) -> None:
        """Take in what the layer is given.

        Args:
            inputs: As the layer gets them.
            every: See `thinning`.
            first: Position to start from, see `patches`.
            outputs: What the layer should answer at these positions, if that is not what its weights answer:
                (groups, positions, rows). All calls have them, or none.
        """
        x = patches(self._layer, inputs, every, first)
        self._xx += (x.transpose(1, 2) @ x).cpu()
        self._x += x.sum(1).cpu()
        self._count += x.shape[1]
        if outputs is not None:
            self._yx += (outputs.transpose(1, 2) @ x).cpu()
            y = outputs.double().sum(1).cpu()
            self._y = y if self._y is None else self._y + y

    @property
    def input_mean(self) -> Floats:
        """(groups, columns), float64."""
        return np.asarray((self._x / self._count).numpy())

    @property
    def output_mean(self) -> Floats | None:
        """(groups, rows), float64; ``None`` without outputs."""
        return None if self._y is None else np.asarray((self._y / self._count).numpy())

    @property
    def noise(self) -> Floats:
        """(groups,), float64: variances below this are rounding, and may come out negative."""
        return np.asarray(_ROUNDING * np.trace(self.second(False), axis1=1, axis2=2) / self._xx.shape[-1])

    def second(self, centred: bool) -> Floats:
        """E[x x'], or the covariance: (groups, columns, columns)."""
        second: Floats = (self._xx / self._count).numpy()
        if centred:
            mean = self.input_mean
            second = second - mean[:, :, None] * mean[:, None, :]
        return second

    def cross(self, centred: bool) -> Floats | None:
        """E[y x'], or the covariance: (groups, rows, columns); ``None`` without outputs."""
        wanted = self.output_mean
        if wanted is None:
            return None
        cross: Floats = (self._yx / self._count).numpy()
        return cross - wanted[:, :, None] * self.input_mean[:, None, :] if centred else cross


def parts(examples: int) -> Iterator[tuple[slice, int]]:
    """The examples in parts, each with its first position, one further than that of the part before."""
    size = -(-examples // _PARTS)
    for number, start in enumerate(range(0, examples, size)):
        yield slice(start, start + size), number
