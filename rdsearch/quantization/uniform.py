"""The uniform dead-zone quantiser."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rdsearch.base.device import doubles
from rdsearch.errors import QuantizationError

MAX_LEVEL = 2**24
"""Largest level: beyond it a float32 product ``level * step`` would not be exact to half a step."""

STEP_BITS = 16
"""The lower bits of a step's float32 that are zero."""

_AT_ONCE = 2**20
"""Values that are computed with at a time, in float64: what goes through here is as large as a network's layers."""

_ONE = 1e-6
"""A scale this near to 1 is 1."""

NEXT_STEP = 1 + 2**-8
"""Half a unit in the last of a bfloat16's 8 significant bits: this factor and rounding give the next one."""


@dataclass(frozen=True, slots=True)
class Quantized:
    """A tensor as whole numbers.

    Attributes:
        levels: Integers within int32, the tensor's shape; most methods give the narrowest type that holds them.
        step: Distance between levels; the tensor's values are ``levels * step`` in float32.
    """

    levels: np.ndarray
    step: float


def snap_step(step: float) -> float:
    """The nearest step that a file can hold: a float32 whose lower 16 bits are zero (bfloat16).

    Raises:
        QuantizationError: ``step`` is negative, not finite, or too large for a float32.
    """
    with np.errstate(over="ignore"):
        single = np.float32(step)
    if not np.isfinite(single) or step < 0:
        raise QuantizationError(f"step {step!r} must be a finite number, 0 or greater")
    bits = int(single.view(np.uint32))
    snapped = np.uint32((bits + 2 ** (STEP_BITS - 1)) >> STEP_BITS << STEP_BITS).view(np.float32)
    if not np.isfinite(snapped):
        raise QuantizationError(f"step {step!r} is too large; at most 3.38e38")
    return float(snapped)


def quantize_uniform(values: Tensor, step: float, dead_zone: float = 1.0) -> Quantized:
    """Round every value to the nearest multiple of a step, values in the dead zone to zero.

    Args:
        values: Any shape, floating point, finite.
        step: Distance between levels; it is first made a step that a file can hold (`snap_step`).
        dead_zone: Width of the interval around zero that becomes zero, in steps; 1 is plain rounding.

    Raises:
        QuantizationError: A value is not finite, or the step is so small that levels overflow.
    """
    step, largest = usable_step(values, step)
    levels = np.zeros(tuple(values.shape), np.min_scalar_type(-1 - (round(largest / step) if step else 0)))
    if step:
        found = levels.reshape(-1)
        for place, part in _parts(values):
            ratio = _in_steps(part, step)
            near = ratio.round()
            # A value just outside the dead zone is never rounded back into it.
            near = torch.where(near == 0, ratio.sign(), near).masked_fill_(ratio.abs() < dead_zone / 2, 0.0)
            found[place : place + part.numel()] = near.to(torch.int32).cpu().numpy()
    return Quantized(levels, step)


def _parts(values: Tensor) -> Iterator[tuple[int, Tensor]]:
    """A tensor's numbers in order, `_AT_ONCE` at a time, with the place of the first of them."""
    place = 0
    for part in torch.split(values.detach().reshape(-1), _AT_ONCE):
        yield place, part
        place += part.numel()


def in_steps(values: Tensor, step: float) -> tuple[Tensor, float]:
    """``values / step``, float64 where the values are, and the step made one that a file can hold (`snap_step`).

    Raises:
        QuantizationError: A value is not finite, or the step is so small that levels overflow.
    """
    step, _ = usable_step(values, step)
    return _in_steps(values.detach(), step) if step else doubles(values.detach()), step


def usable_step(values: Tensor, step: float) -> tuple[float, float]:
    """The step made one that a file can hold (`snap_step`), and the values' largest magnitude; errors as `in_steps`."""
    low, high = (float(end) for end in values.detach().aminmax()) if values.numel() else (0.0, 0.0)
    largest = max(high, -low)
    if not math.isfinite(largest):
        raise QuantizationError("weights have NaN or infinite values; the network cannot be quantised")
    step = snap_step(step)
    if step == 0.0:
        if largest:
            raise QuantizationError("step 0 quantises nothing but zeros; give a greater step")
        return 0.0, 0.0
    if largest / step > MAX_LEVEL:
        raise QuantizationError(
            f"step {step:g} puts a weight on level {largest / step:.3g}; at most {MAX_LEVEL}: give a greater step"
        )
    return step, largest


def _in_steps(values: Tensor, step: float) -> Tensor:
    wide = doubles(values)
    # A GPU would multiply by the inverse of a number, which rounds otherwise; not by that of a tensor.
    return wide / wide.new_tensor(step)


def quantize_to_bits(values: Tensor, bits: int) -> Quantized:
    """Uniform levels in ``[-(2**(bits-1) - 1), 2**(bits-1) - 1]``, by the least step that a file can hold.

    Args:
        values: Any shape, finite; biases, or batch normalisation's scale or shift.
        bits: Bits of a level, at least 2.

    Raises:
        QuantizationError: A value is not finite.
    """
    largest = float(values.detach().abs().max()) if values.numel() else 0.0
    if not math.isfinite(largest):
        raise QuantizationError("biases or normalisation have NaN or infinite values; the network cannot be quantised")
    top = 2 ** (bits - 1) - 1
    step = snap_step(largest / top)
    if step * (top + 0.5) <= largest:
        step = snap_step(step * NEXT_STEP)
    # So small that no step can tell it from zero.
    return quantize_uniform(values if step else torch.zeros_like(values), step)


def quantize_scale(scale: Tensor, bits: int) -> Quantized:
    """A normalisation's scale as `quantize_to_bits` has it; that of a folded layer, which is 1, as cheap as can be.

    Raises:
        QuantizationError: A value is not finite.
    """
    if is_folded(scale):
        return Quantized(scale.detach().round().to(torch.int32).cpu().numpy(), 1.0)
    return quantize_to_bits(scale, bits)


def is_folded(scale: Tensor) -> bool:
    """Whether a normalisation's scale is that of a folded layer: 1 everywhere, or 0 where nothing reads a channel."""
    return bool((((scale - 1).abs() <= _ONE) | (scale == 0)).all())


def dequantize(quantized: Quantized) -> np.ndarray:
    """``levels * step``: float32, the tensor's shape."""
    values = quantized.levels.astype(np.float32)
    values *= np.float32(quantized.step)
    return values


def survivor_rms(weights: list[Tensor]) -> float:
    """Root mean square of the non-zero values of ``weights``; 0 when there are none."""
    squares = sum(float(doubles(part).square().sum()) for weight in weights for _, part in _parts(weight))
    survivors = sum(int(torch.count_nonzero(weight.detach())) for weight in weights)
    return (squares / survivors) ** 0.5 if survivors else 0.0
