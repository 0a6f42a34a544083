"""The levels of one layer, given the second moments of its inputs.

The quadratic loss of a row of weights w with levels q (in steps) is (w - q)' H (w - q), H the second moments of the
inputs. Its minimum with the price of the bits is looked for by error propagation (Optimal Brain Surgeon, Hassibi and
Stork 1993, in the form of GPTQ, Frantar et al. 2023, with levels by rate as in CERWU, Conzelmann and Bamler 2025, arXiv
2505.18758) along several paths at once, then by coordinate descent on the same loss, the rates estimated anew from
the levels after each pass.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rdsearch.quantization.solver.kernels import descend
from rdsearch.quantization.solver.propagation import propagate
from rdsearch.quantization.solver.rates import estimate

Floats = NDArray[np.float64]
Levels = NDArray[np.int32]
Bools = NDArray[np.bool_]

PATHS = (1, 16)
"""Paths that stay open in each propagation: the first one is there for its rates."""
DESCENTS = 6
DAMPING = 0.01
"""Of the mean diagonal entry, added to the diagonal: inputs that are always zero have no say otherwise (as GPTQ)."""


def damped(moments: Floats, noise: float = 0.0) -> Floats:
    """Second moments (columns, columns) that can be inverted, whatever rounding has made of zeros up to ``noise``."""
    columns = len(moments)
    mean = float(np.trace(moments)) / columns
    return np.asarray(moments + (max(DAMPING * mean, noise) or 1.0) * np.eye(columns))


def inverse_factor(moments: Floats) -> Floats:
    """Upper triangular U with U' U the inverse of ``moments``: (columns, columns), float64."""
    # With M upper triangular and M M' the moments, U is the inverse of M: Cholesky's factor is taken of the moments,
    # which are positive definite by more than rounding, and not of their inverse.
    upper = np.linalg.cholesky(moments[::-1, ::-1])[::-1, ::-1]
    return np.ascontiguousarray(np.triu(np.linalg.inv(upper)))


def choose_levels(weights: Floats, alive: Bools, moments: Floats, rate_weight: float, taps: int) -> Levels:
    """Levels of rows that share their inputs.

    Args:
        weights: (rows, columns), in steps.
        alive: (rows, columns): the others become zero.
        moments: (columns, columns): second moments of the inputs, invertible (`damped`).
        rate_weight: Price of a bit: the loss of an error of one step in a weight whose error the weights after it
            make up for (the geometric mean of those), times this.
        taps: Kernel taps; the codec's model looks at them.

    Returns:
        (rows, columns), int32.
    """
    factor = inverse_factor(moments)
    rate = np.full(len(weights), rate_weight * float(np.exp(-2 * np.log(np.diag(factor)).mean())))
    levels = np.rint(np.where(alive, weights, 0.0)).astype(np.int32)
    for paths in PATHS:
        rates = estimate(levels, taps)
        propagate(weights, alive, factor, rate, rates.classes, rates.bits, paths, levels)
    for _ in range(DESCENTS):
        rates = estimate(levels, taps)
        if not descend(weights, alive, moments, rate, rates.classes, rates.bits, levels):
            break
    return levels
