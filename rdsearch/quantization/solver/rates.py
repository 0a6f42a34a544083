"""What a level will cost in the file: a cheap stand-in for the codec's adaptive model.

The codec predicts a weight's magnitude best from the mean magnitudes of its row, its column and its kernel tap so far.
Here the three are taken from a whole tensor's levels, joined to one expected magnitude, and the levels' frequencies are
counted in classes of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.int32]
Floats = NDArray[np.float64]

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
    """Costs of the levels of one tensor.

    Attributes:
        classes: (rows, columns), int16: class of each weight's expected magnitude.
        bits: (CLASSES, MAGNITUDES), float64: cost of a magnitude, its sign included.
    """

    classes: NDArray[np.int16]
    bits: Floats

    def of(self, levels: Levels) -> Floats:
        """Bits of each level: (rows, columns), float64."""
        magnitudes = np.abs(levels.astype(np.int64))
        inside = self.bits[self.classes, np.minimum(magnitudes, MAGNITUDES - 1)]
        beyond = np.maximum(magnitudes / (MAGNITUDES - 1), 1.0)
        return np.asarray(inside + 2 * np.log2(beyond))


def estimate(levels: Levels, taps: int) -> Rates:
    """Rates under which the codec would code a tensor of about these levels.

    Args:
        levels: (rows, columns), int32: output channels, and input channels times kernel taps.
        taps: Kernel taps; it divides the columns.
    """
    magnitudes = np.abs(levels.astype(np.float64))
    expected = _expected(magnitudes.reshape(len(levels), -1, taps)).reshape(levels.shape)
    octaves = np.log2(np.maximum(expected, 2.0**_LOWEST_OCTAVE)) - _LOWEST_OCTAVE
    classes = np.minimum((octaves * _CLASSES_PER_OCTAVE).astype(np.int16), CLASSES - 1)
    return Rates(classes, _bits(classes, magnitudes))


def _expected(kernels: Floats) -> Floats:
    """Expected magnitude of each weight: (rows, columns, taps)."""
    mean = kernels.mean()
    if mean == 0.0:
        return np.zeros_like(kernels)

    def shrunk(axes: tuple[int, ...]) -> Floats:
        count = np.prod([kernels.shape[axis] for axis in axes])
        total = kernels.sum(axis=axes, keepdims=True)
        return np.asarray((total + _PRIOR_WEIGHTS * mean) / (count + _PRIOR_WEIGHTS) / mean)

    return np.asarray(mean * shrunk((1, 2)) * shrunk((0, 2)) * shrunk((0, 1)))


def _bits(classes: NDArray[np.int16], magnitudes: Floats) -> Floats:
    kept = np.minimum(magnitudes, MAGNITUDES - 1).astype(np.int64)
    counts = np.bincount(classes.ravel() * MAGNITUDES + kept.ravel(), minlength=CLASSES * MAGNITUDES)
    # The prior of a class is the geometric distribution of its mean.
    middle = 2.0 ** (_LOWEST_OCTAVE + (np.arange(CLASSES) + 0.5) / _CLASSES_PER_OCTAVE)
    ratio = (middle / (1 + middle))[:, None]
    prior = (1 - ratio) * ratio ** np.arange(MAGNITUDES)
    shares = counts.reshape(CLASSES, MAGNITUDES) + _PRIOR_COUNTS * prior
    shares = shares / shares.sum(axis=1, keepdims=True)
    bits = -np.log2(np.maximum(shares, 2.0**-30))
    bits[:, 1:] += _SIGN_BITS
    return np.asarray(bits)
