"""About how many bits levels take, and how many more a level takes that moves away from zero.

A level is zero with a probability that its row and its column have: those of an output channel and of an input channel
that have few levels make a further one dear, so that whole channels die, as they should where the coder learns
densities as it goes. The magnitude beyond 1 is geometric.
"""

from __future__ import annotations

import torch
from torch import Tensor

PRIOR = 3.0
"""Levels of the tensor's density that every row and column is thought to have seen."""
RAREST, MOST = 1e-4, 0.97
"""Bounds of the probability that a level is not zero."""
LEAST = 0.5
"""Bits of moving away from zero, at least."""


def priced(values: Tensor, axes: tuple[int, int] | None) -> tuple[Tensor, Tensor]:
    """Bits and slopes.

    Args:
        values: v of one tensor: its levels are the nearest integers.
        axes: Output and input channels; ``None`` for vectors, whose levels have one density.

    Returns:
        Bits of all levels, a scalar, and bits a unit of |v|, of the shape of ``values``.
    """
    magnitudes = values.round().abs_()
    alive = (magnitudes > 0).to(values.dtype)
    count, total = alive.sum(), magnitudes.sum()
    density = (count + 0.5) / (alive.numel() + 1)
    filled = density
    if axes is not None:
        rows, columns = (_densities(alive, axis, density) for axis in axes)
        filled = (rows * columns / density).clamp(RAREST, MOST)
    further = -torch.log2((total - count + 0.5) / (total + 1))
    zero = -torch.log2(1 - filled)
    one = 1 - torch.log2(filled) - torch.log2(1 - torch.exp2(-further))
    bits = (torch.where(magnitudes > 0, one, zero)).sum() + (total - count) * further
    slopes = torch.where(values.abs() < 1, (one - zero).clamp_min(LEAST), further)
    return bits, slopes


def _densities(alive: Tensor, axis: int, density: Tensor) -> Tensor:
    """Share of levels that are not zero along an axis, with all other axes of length 1."""
    others = [other for other in range(alive.dim()) if other != axis]
    each = alive[:1].numel() if axis == 0 else alive[:, :1].numel()
    return (alive.sum(others, keepdim=True) + PRIOR * density) / (each + PRIOR)
