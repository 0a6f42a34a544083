"""From the moments of a layer's inputs to its levels, weights and bias."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from rdsearch.errors import QuantizationError
from rdsearch.quantization.inputs import Layer
from rdsearch.quantization.method import Work, put, put_bias
from rdsearch.quantization.moments import Moments
from rdsearch.quantization.solver.levels import Floats, choose_levels, damped
from rdsearch.quantization.uniform import Quantized, dequantize, in_steps


def solve(work: Work, name: str, layer: Layer, moments: Moments, centred: bool) -> Quantized:
    """Quantise one layer: its weight, and its bias where it has one, are replaced in ``work.coarse``.

    Args:
        work: What is quantised.
        name: The weight's name.
        layer: The float layer.
        moments: Of its inputs, with the outputs wanted where they are not simply the float weights' own.
        centred: Whether the outputs' mean is restored whatever the levels are, so that only deviations count.

    Raises:
        QuantizationError: The inputs are not finite, or the step is too small.
    """
    second, cross = moments.second(centred), moments.cross(centred)
    if not np.isfinite(second).all():
        raise QuantizationError(f"the inputs of {name} have NaN or infinite values in calibration; check the network")
    weights, step = in_steps(layer.weight, work.steps[name])
    matrices = weights.reshape(len(second), -1, second.shape[-1])
    levels = np.zeros(matrices.shape, np.int32)
    taps = math.prod(weights.shape[2:])
    for group, matrix in enumerate(matrices if step else ()):
        moment = damped(second[group], float(moments.noise[group]) if centred else 0.0)
        target = matrix if cross is None else _target(matrix, cross[group] / step, second[group], moment)
        levels[group] = choose_levels(target, matrix != 0.0, moment, work.rate_weight, taps)
    quantized = Quantized(levels.reshape(weights.shape), step)
    put(work.coarse, name, quantized)
    if layer.bias is not None:
        bias = _restoring_bias(layer, layer.bias, moments, dequantize(quantized).reshape(matrices.shape))
        put_bias(work.coarse, name, bias)
    return quantized


def _target(weights: Floats, cross: Floats, second: Floats, moment: Floats) -> Floats:
    """The weights that best restore the wanted outputs: W + (E[y x'] - W E[x x']) (E[x x'] + rho I)^-1."""
    return np.ascontiguousarray(weights + np.linalg.solve(moment, (cross - weights @ second).T).T)


def _restoring_bias(layer: Layer, bias: Tensor, moments: Moments, decoded: np.ndarray) -> Floats:
    """The bias that gives the outputs the mean that they had, or that is wanted: (rows,)."""
    answered = _mean_outputs(decoded, moments)
    if moments.output_mean is not None:
        return np.asarray((moments.output_mean - answered).ravel())
    weights = layer.weight.detach().double().cpu().numpy().reshape(decoded.shape)
    lost = _mean_outputs(weights, moments) - answered
    return np.asarray(bias.detach().double().cpu().numpy() + lost.ravel())


def _mean_outputs(weights: np.ndarray, moments: Moments) -> Floats:
    return np.asarray(np.einsum("gij,gj->gi", weights.astype(np.float64), moments.input_mean))
