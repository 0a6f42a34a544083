"""Rate-aware rounding: each level by its distance and its price alone."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence

import numpy as np
import torch
from torch import Tensor

from rdsearch.base.compiled import in_threads
from rdsearch.quantization.method import Work, finish, put
from rdsearch.quantization.solver.kernels import Floats, round_rows
from rdsearch.quantization.solver.rates import estimate
from rdsearch.quantization.uniform import Quantized, in_steps, quantize_uniform

PASSES = 3


def rate_aware(work: Work) -> dict[str, Quantized]:
    """For each weight the level that minimises its squared error in steps + ``rate_weight`` * bits."""
    levels = round_others(work, ())
    finish(work, levels)
    return levels


def round_others(work: Work, treated: Container[str]) -> dict[str, Quantized]:
    """Round every weight that is not ``treated`` otherwise, also in ``work.coarse``: by rate, or plainly."""
    levels: dict[str, Quantized] = {}
    for name, weight in work.weights().items():
        if name in treated:
            continue
        if name in work.plain:
            levels[name] = quantize_uniform(weight, work.steps[name])
        else:
            values, step = in_steps(weight, work.steps[name])
            matrix = values.cpu().reshape(len(values), math.prod(values.shape[1:]))
            chosen = round_by_rate(matrix, work.rate_weight, math.prod(values.shape[2:]))
            levels[name] = Quantized(chosen.numpy().reshape(values.shape), step)
        put(work.coarse, name, levels[name])
    return levels


def round_by_rate(weights: Tensor, rate_weight: float, taps: int) -> Tensor:
    """Levels of a matrix of weights in steps; zeros stay zero.

    Args:
        weights: (rows, columns), float64, on the CPU.
        rate_weight: Price of a bit, in squared steps.
        taps: Kernel taps; they divide the columns.

    Returns:
        (rows, columns), int32.
    """
    alive = weights != 0.0
    levels = weights.round().to(torch.int32)
    if not alive.any():
        return levels
    price = np.full(len(weights), rate_weight)
    for _ in range(PASSES):
        rates = estimate(levels, taps)
        bits, of_rows = rates.bits.numpy(), [tensor.numpy() for tensor in (weights, alive, rates.classes, levels)]

        def work(part: slice, bits: Floats = bits, of_rows: Sequence[np.ndarray] = of_rows) -> None:
            weights, alive, classes, levels = (array[part] for array in of_rows)
            round_rows(weights, alive, price[part], classes, bits, levels)

        in_threads(work, len(weights), torch.get_num_threads())
    return levels
