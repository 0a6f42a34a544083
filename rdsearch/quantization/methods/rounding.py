"""Rounding to nearest, the method that needs to know nothing but the weights."""

from __future__ import annotations

from rdsearch.quantization.method import Work, finish
from rdsearch.quantization.uniform import Quantized, quantize_uniform


def uniform(work: Work) -> dict[str, Quantized]:
    """Every weight to the nearest multiple of its step, those in the dead zone to zero."""
    levels = {
        name: quantize_uniform(weight, work.steps[name], 1.0 if name in work.plain else work.dead_zone)
        for name, weight in work.weights().items()
    }
    finish(work, levels)
    return levels
