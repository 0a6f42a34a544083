"""The levels of one layer, given the second moments of its inputs.

The quadratic loss of a row of weights w with levels q (in steps) is (w - q)' H (w - q), H the second moments of the
inputs. Its minimum with the price of the bits is looked for by error propagation (Optimal Brain Surgeon, Hassibi and
Stork 1993, in the form of GPTQ, Frantar et al. 2023, with levels by rate as in CERWU, Conzelmann and Bamler 2025, arXiv
2505.18758) along several paths at once, then by coordinate descent on the same loss, the rates estimated anew from
the levels after each pass.

All of it runs where the moments are, in float64. On a processor the choices along a row are compiled loops, rows in
threads; on a GPU they are recorded kernels for many rows. Both take the products of matrices from torch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rdsearch.quantization.solver.descent import descend
from rdsearch.quantization.solver.propagation import propagate
from rdsearch.quantization.solver.rates import estimate

PATHS = (1, 16)
"""Paths that stay open in each propagation: the first one is there for its rates."""
DESCENTS = 6
DAMPING = 0.01
"""As GPTQ has it."""
_INVERTED_AT_ONCE = 256
"""Columns of a triangular matrix that are inverted without splitting it."""


def damped(moments: Tensor, noise: float = 0.0, damping: float = DAMPING) -> Tensor:
    """Second moments (columns, columns) that can be inverted, whatever rounding has made of zeros up to ``noise``.

    The mean diagonal entry times ``damping`` is added to the diagonal: inputs that are always zero have no say
    otherwise.
    """
    mean = float(moments.diagonal().sum()) / len(moments)
    found = moments.clone()
    found.diagonal().add_(max(damping * mean, noise) or 1.0)
    return found


def inverse_factor(moments: Tensor) -> Tensor:
    """Upper triangular U with U' U the inverse of ``moments``: (columns, columns), float64."""
    # With M upper triangular and M M' the moments, U is the inverse of M: Cholesky's factor is taken of the moments,
    # which are positive definite by more than rounding, and not of their inverse.
    upper: Tensor = torch.linalg.cholesky(moments.flip(0, 1)).flip(0, 1)
    return _inverted(upper.contiguous())


def _inverted(upper: Tensor) -> Tensor:
    """Inverse of an upper triangular matrix; by halves, so that nearly all of it is products of matrices."""
    size = len(upper)
    if size <= _INVERTED_AT_ONCE:
        unit = torch.eye(size, dtype=upper.dtype, device=upper.device)
        inverse: Tensor = torch.linalg.solve_triangular(upper, unit, upper=True)
        return inverse
    half = size // 2
    found = torch.zeros_like(upper)
    found[:half, :half] = _inverted(upper[:half, :half])
    found[half:, half:] = _inverted(upper[half:, half:])
    found[:half, half:] = -found[:half, :half] @ (upper[:half, half:] @ found[half:, half:])
    return found


@torch.inference_mode()
def choose_levels(
    weights: Tensor, alive: Tensor, moments: Tensor, factor: Tensor, rate_weight: float, taps: int
) -> Tensor:
    """Levels of rows that share their inputs.

    Args:
        weights: (rows, columns), float64, in steps.
        alive: (rows, columns): the others become zero.
        moments: (columns, columns), float64: second moments of the inputs, invertible (`damped`).
        factor: Their `inverse_factor`.
        rate_weight: Price of a bit: the loss of an error of one step in a weight whose error the weights after it
            make up for (the geometric mean of those), times this.
        taps: Kernel taps; the codec's model looks at them.

    Returns:
        (rows, columns), int32, on the device of the weights.
    """
    weights, alive = weights.contiguous(), alive.contiguous()
    price = rate_weight * float(torch.exp(-2 * factor.diagonal().log().mean()))
    rate = torch.full((len(weights),), price, dtype=weights.dtype, device=weights.device)
    levels = torch.where(alive, weights, 0.0).round().to(torch.int32)
    for paths in PATHS:
        levels = propagate(weights, alive, factor, rate, estimate(levels, taps), paths)
    gradient = (weights - levels) @ moments
    for _ in range(DESCENTS):
        if not descend(gradient, alive, moments, rate, estimate(levels, taps), levels):
            break
    return levels
