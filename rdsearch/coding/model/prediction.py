"""What the linear predictor of a weight looks at, and the distances at which an encoder finds something to see.

The predictor is a normalised least mean squares filter (Widrow and Hoff 1960; Haykin, *Adaptive Filter Theory*, ch. 6)
over weights that are coded already, scaled by their tensor's mean magnitude and cut off at eight of it. Its forecast is
a context of magnitudes and signs.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from rdsearch.coding.model.header import DISTANCE_BITS

NEAREST = 10
"""Distances up to this one are looked at in any case."""
_SAMPLED = 2**20
"""Weights of a tensor whose correlation is looked at, at most."""
_SIGNIFICANT = 4.0
"""Standard errors from which on a correlation is one."""


@cache
def reach(taps: int, distance: int) -> NDArray[np.int64]:
    """What is looked at.

    Returns:
        (inputs, 2), int64: rows back, and entries back in the row; negative ones are ahead, in rows above.
    """
    if taps > 1:
        row = [(0, back) for back in range(1, 10)]
        above = [(1, back) for back in range(4, -5, -1)]
        far = [(0, 2 * taps), (0, 3 * taps), (0, 4 * taps), (2, 0), (3, 0), (4, 0), (1, taps), (1, -taps)]
        found = [*row, *above, *far]
    else:
        row = [(0, back) for back in range(1, NEAREST + 1)]
        above = [(1, back) for back in (1, 0, -1)]
        far = [(0, distance + one) for one in (-1, 0, 1)] if distance else []
        found = [*row, *above, *far]
    return np.array(found, np.int64)


def inputs(taps: int) -> int:
    """How many weights are looked at, at most, for kernels of so many taps."""
    return len(reach(taps, 2 * NEAREST))


def best_distance(matrix: NDArray[np.int32]) -> int:
    """The distance at which columns resemble each other most, 0 where it is not far or they do not.

    Args:
        matrix: (rows, columns), levels.
    """
    columns = matrix.shape[1]
    longest = min((1 << DISTANCE_BITS) - 1, columns - 2)
    if longest < NEAREST + 2:
        return 0
    signs = np.clip(matrix[: max(1, _SAMPLED // columns)], -2, 2).astype(np.float32)
    power = (np.abs(np.fft.rfft(signs, 2 * columns)) ** 2).sum(0)
    products = np.fft.irfft(power)[: longest + 1]
    if not products[0] > 0:
        return 0
    at = NEAREST + 2 + int(np.argmax(products[NEAREST + 2 :]))
    # Of products of independent signs the mean is 0, and the variance of their sum about that of the squares' share.
    error = float(np.sqrt((signs.astype(np.float64) ** 2).mean() ** 2 * signs.size))
    return at if products[at] > _SIGNIFICANT * error else 0
