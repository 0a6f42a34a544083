"""What a level will cost in the file: a cheap stand-in for the codec's adaptive model.

The codec predicts a weight's magnitude best from the mean magnitudes of its row, its column and its kernel tap so far.
Here the three are taken from a whole tensor's levels, joined to one expected magnitude, and the levels' frequencies are
counted in classes of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

MAGNITUDES = 24
"""Magnitudes with a cost of their own; larger ones cost as many bits more as their logarithm grows."""
CLASSES = 40
_CLASSES_PER_OCTAVE = 2
_LOWEST_OCTAVE = -10
_PRIOR_WEIGHTS = 12
_PRIOR_COUNTS = 24.0
_SIGN_BITS = 1.0


@dataclass(frozen=True)
class Rates:
    """Costs of the levels of one tensor, on its device.

    Attributes:
        classes: (rows, columns), int16: class of each weight's expected magnitude.
        bits: (CLASSES, MAGNITUDES), float64: cost of a magnitude, its sign included.
    """

    classes: Tensor
    bits: Tensor

    def of(self, levels: Tensor) -> Tensor:
        """Bits of each level: (rows, columns), float64."""
        magnitudes = levels.abs().long()
        inside = self.bits[self.classes.long(), magnitudes.clamp(max=MAGNITUDES - 1)]
        return inside + 2 * torch.log2((magnitudes.double() / (MAGNITUDES - 1)).clamp(min=1.0))


def estimate(levels: Tensor, taps: int) -> Rates:
    """Rates under which the codec would code a tensor of about these levels.

    Args:
        levels: (rows, columns), int32: output channels, and input channels times kernel taps.
        taps: Kernel taps; it divides the columns.
    """
    magnitudes = levels.abs()
    expected = _expected(magnitudes.view(len(levels), -1, taps)).view(levels.shape)
    octaves = expected.clamp_(min=2.0**_LOWEST_OCTAVE).log2_().sub_(_LOWEST_OCTAVE)
    classes = octaves.mul_(_CLASSES_PER_OCTAVE).to(torch.int16).clamp_(max=CLASSES - 1)
    return Rates(classes, _bits(classes, magnitudes))


def _expected(kernels: Tensor) -> Tensor:
    """Expected magnitude of each weight, from the magnitudes (rows, columns, taps): float64."""
    mean = kernels.sum(dtype=torch.float64) / kernels.numel()

    def shrunk(axes: tuple[int, ...]) -> Tensor:
        count = math.prod(kernels.shape[axis] for axis in axes)
        total = kernels.sum(axes, keepdim=True, dtype=torch.float64)
        share = (total + _PRIOR_WEIGHTS * mean) / (count + _PRIOR_WEIGHTS) / mean
        return torch.where(mean > 0, share, 0.0)

    return mean * shrunk((1, 2)) * shrunk((0, 2)) * shrunk((0, 1))


def _bits(classes: Tensor, magnitudes: Tensor) -> Tensor:
    places = classes.int() * MAGNITUDES + magnitudes.clamp(max=MAGNITUDES - 1)
    counts = torch.bincount(places.flatten(), minlength=CLASSES * MAGNITUDES).view(CLASSES, MAGNITUDES)
    shares = counts + _prior().to(counts.device)
    shares /= shares.sum(1, keepdim=True)
    bits = -torch.log2(shares.clamp(min=2.0**-30))
    bits[:, 1:] += _SIGN_BITS
    return bits


def _prior() -> Tensor:
    """Counts before anything is counted, of a class the geometric distribution of its mean: float64, on the CPU."""
    middle = 2.0 ** (_LOWEST_OCTAVE + (torch.arange(CLASSES, dtype=torch.float64) + 0.5) / _CLASSES_PER_OCTAVE)
    ratio = (middle / (1 + middle))[:, None]
    return _PRIOR_COUNTS * (1 - ratio) * ratio ** torch.arange(MAGNITUDES, dtype=torch.float64)
