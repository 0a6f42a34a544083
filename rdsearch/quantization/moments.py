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

POSITIONS = 2**16
"""Output positions that moments are taken over, about: more of a convolution's positions are thinned out to these."""
_PARTS = 32
_OFFSET = 5
"""A part's first position is so far from that of the part before: over the parts every position is taken."""

_ROUNDING = 1e-4
"""Of a layer's mean second moment: what float32 products leave of differences that should be zero."""


def thinning(layer: Layer, outputs: Tensor) -> int:
    """Of how many positions along each spatial axis one is taken, given all outputs of a layer."""
    axes = outputs.dim() - 2
    if isinstance(layer, torch.nn.Linear) or axes < 1:
        return 1
    total = outputs.shape[0] * math.prod(outputs.shape[2:])
    return max(1, int((total / POSITIONS) ** (1 / axes)))


def sample_outputs(layer: Layer, outputs: Tensor) -> Tensor:
    """Outputs at the positions that `Moments` looks at: (groups, positions, rows of a group)."""
    every = thinning(layer, outputs)
    return torch.cat([positions(layer, outputs[part], every, first) for part, first in _parts(len(outputs))], dim=1)


class Moments:
    """Means of products over the output positions of one layer, group by group.

    Args:
        layer: The layer.
        inputs: What it is given, all at once.
        every: See `thinning`.
        outputs: What it should answer, from `sample_outputs`; or nothing.

    Attributes:
        input_mean: (groups, columns), float64.
        output_mean: (groups, rows), float64; ``None`` without outputs.
        noise: (groups,), float64: variances below this are rounding, and may come out negative.
    """

    def __init__(self, layer: Layer, inputs: Tensor, every: int, outputs: Tensor | None = None) -> None:
        groups = groups_of(layer)
        rows, columns = len(layer.weight) // groups, layer.weight[0].numel()
        xx = torch.zeros(groups, columns, columns, dtype=torch.float64)
        yx = torch.zeros(groups, rows, columns, dtype=torch.float64)
        x_sum = torch.zeros(groups, columns, dtype=torch.float64)
        count = 0
        for part, first in _parts(len(inputs)):
            x = patches(layer, inputs[part], every, first)
            xx += (x.transpose(1, 2) @ x).cpu()
            x_sum += x.sum(1, dtype=torch.float64).cpu()
            if outputs is not None:
                y = outputs[:, count : count + x.shape[1]]
                yx += (y.transpose(1, 2) @ x).cpu()
            count += x.shape[1]
        self._xx: Floats = (xx / count).numpy()
        self._yx: Floats | None = None if outputs is None else (yx / count).numpy()
        self.input_mean: Floats = (x_sum / count).numpy()
        self.noise: Floats = _ROUNDING * np.trace(self._xx, axis1=1, axis2=2) / columns
        self.output_mean: Floats | None = None if outputs is None else outputs.double().mean(1).cpu().numpy()

    def second(self, centred: bool) -> Floats:
        """E[x x'], or the covariance: (groups, columns, columns)."""
        if not centred:
            return self._xx
        return np.asarray(self._xx - self.input_mean[:, :, None] * self.input_mean[:, None, :])

    def cross(self, centred: bool) -> Floats | None:
        """E[y x'], or the covariance: (groups, rows, columns); ``None`` without outputs."""
        if self._yx is None or self.output_mean is None or not centred:
            return self._yx
        return np.asarray(self._yx - self.output_mean[:, :, None] * self.input_mean[:, None, :])


def _parts(examples: int) -> Iterator[tuple[slice, int]]:
    """The examples in parts, each with its first position."""
    size = -(-examples // _PARTS)
    for number, start in enumerate(range(0, examples, size)):
        yield slice(start, start + size), _OFFSET * number
