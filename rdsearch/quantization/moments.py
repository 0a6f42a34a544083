"""Second moments of a layer's inputs, and their products with the outputs that are wanted of them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from rdsearch.base.device import memory_of, of_doubles
from rdsearch.quantization.inputs import Layer, groups_of, patches, positions

POSITIONS = 2**15
"""Output positions that moments are taken over, about: more of a convolution's positions are thinned out to these."""
SHARE = 1 / 64
"""Of the memory that a process has of a GPU: more are one layer's moments not given, of which the solver takes some
copies, and which all layers have at the same time."""
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

    They are kept in float64 on the layer's device, where that has float64 and room for several copies of them, else on
    the CPU; the levels are then chosen there as well.

    Args:
        layer: The layer.
    """

    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        groups, columns = groups_of(layer), layer.weight[0].numel()
        self._device = of_doubles(layer.weight.device)
        if groups * columns**2 * torch.float64.itemsize > SHARE * memory_of(self._device):
            self._device = torch.device("cpu")
        self._xx = torch.zeros(groups, columns, columns, dtype=torch.float64, device=self._device)
        self._x = torch.zeros(groups, columns, dtype=torch.float64, device=self._device)
        self._yx: Tensor | None = None
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
        self._xx += (x.transpose(1, 2) @ x).to(self._device)
        self._x += x.sum(1).to(self._device)
        self._count += x.shape[1]
        if outputs is not None:
            yx = (outputs.transpose(1, 2) @ x).to(self._device, torch.float64)
            y = outputs.to(self._device, torch.float64).sum(1)
            self._yx = yx if self._yx is None else self._yx + yx
            self._y = y if self._y is None else self._y + y

    @property
    def input_mean(self) -> Tensor:
        """(groups, columns), float64."""
        return self._x / self._count

    @property
    def output_mean(self) -> Tensor | None:
        """(groups, rows), float64; ``None`` without outputs."""
        return None if self._y is None else self._y / self._count

    @property
    def noise(self) -> Tensor:
        """(groups,), float64: variances below this are rounding, and may come out negative."""
        return self._xx.diagonal(dim1=1, dim2=2).mean(1) / self._count * _ROUNDING

    def second(self, centred: bool) -> Tensor:
        """E[x x'], or the covariance: (groups, columns, columns), float64."""
        second = self._xx / self._count
        if centred:
            mean = self.input_mean
            second -= mean[:, :, None] * mean[:, None, :]
        return second

    def cross(self, centred: bool) -> Tensor | None:
        """E[y x'], or the covariance: (groups, rows, columns), float64; ``None`` without outputs."""
        wanted = self.output_mean
        if wanted is None or self._yx is None:
            return None
        cross = self._yx / self._count
        return cross - wanted[:, :, None] * self.input_mean[:, None, :] if centred else cross


def parts(examples: int) -> Iterator[tuple[slice, int]]:
    """The examples in parts, each with its first position, one further than that of the part before."""
    size = -(-examples // _PARTS)
    for number, start in enumerate(range(0, examples, size)):
        yield slice(start, start + size), number
