"""Rate-aware rounding: each level by its distance and its price alone."""

from __future__ import annotations

import math
from collections.abc import Container

import numpy as np

from rdsearch.quantization.method import Work, finish, put
from rdsearch.quantization.solver.kernels import round_rows
from rdsearch.quantization.solver.levels import Floats, Levels
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
            array, step = in_steps(weight, work.steps[name])
            matrix = array.reshape(len(array), math.prod(array.shape[1:]))
            chosen = round_by_rate(matrix, work.rate_weight, math.prod(array.shape[2:]))
            levels[name] = Quantized(chosen.reshape(array.shape), step)
        put(work.coarse, name, levels[name])
    return levels


def round_by_rate(weights: Floats, rate_weight: float, taps: int) -> Levels:
    """Levels of a matrix of weights in steps; zeros stay zero.

    Args:
        weights: (rows, columns).
        rate_weight: Price of a bit, in squared steps.
        taps: Kernel taps; they divide the columns.
    """
    alive = weights != 0.0
    levels = np.rint(weights).astype(np.int32)
    if not alive.any():
        return levels
    prices = np.full(len(weights), rate_weight)
    for _ in range(PASSES):
        rates = estimate(levels, taps)
        round_rows(weights, alive, prices, rates.classes, rates.bits, levels)
    return levels
