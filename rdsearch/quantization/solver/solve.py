"""From the moments of a layer's inputs to its levels, weights and bias."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rdsearch.errors import QuantizationError
from rdsearch.quantization.inputs import Layer
from rdsearch.quantization.method import Work, put, put_bias
from rdsearch.quantization.moments import Moments
from rdsearch.quantization.solver.levels import choose_levels, damped, inverse_factor
from rdsearch.quantization.uniform import Quantized, in_steps

ON_A_PROCESSOR = 2**12
"""Weights of a matrix that a processor is done with before a GPU has started its kernels."""


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
    if not torch.isfinite(second).all():
        raise QuantizationError(f"the inputs of {name} have NaN or infinite values in calibration; check the network")
    weights, step = in_steps(layer.weight, work.steps[name])
    matrices = weights.to(second.device).reshape(len(second), -1, second.shape[-1])
    place = torch.device("cpu") if matrices[0].numel() <= ON_A_PROCESSOR else second.device
    levels = torch.zeros(matrices.shape, dtype=torch.int32, device=place)
    taps = math.prod(weights.shape[2:])
    noise = moments.noise.tolist() if centred else [0.0] * len(second)
    for group, matrix in enumerate(matrices.to(place) if step else ()):
        here = second[group].to(place)
        moment = damped(here, noise[group])
        factor = inverse_factor(moment)
        target = matrix if cross is None else _target(matrix, cross[group].to(place) / step, here, factor)
        levels[group] = choose_levels(target, matrix != 0.0, moment, factor, work.rate_weight, taps)
    quantized = Quantized(levels.cpu().numpy().reshape(weights.shape), step)
    put(work.coarse, name, quantized)
    if layer.bias is not None:
        decoded = (levels.float() * step).double().to(second.device)
        put_bias(work.coarse, name, _restoring_bias(layer, layer.bias, moments, decoded).cpu().numpy())
    return quantized


def _target(weights: Tensor, cross: Tensor, second: Tensor, factor: Tensor) -> Tensor:
    """The weights that best restore the wanted outputs: W + (E[y x'] - W E[x x']) (E[x x'] + rho I)^-1."""
    return weights + (cross - weights @ second) @ factor.T @ factor


def _restoring_bias(layer: Layer, bias: Tensor, moments: Moments, decoded: Tensor) -> Tensor:
    """The bias that gives the outputs the mean that they had, or that is wanted: (rows,)."""
    answered = _mean_outputs(decoded, moments)
    if moments.output_mean is not None:
        return (moments.output_mean - answered).flatten()
    weights = layer.weight.detach().to(decoded).reshape(decoded.shape)
    return bias.detach().to(decoded) + (_mean_outputs(weights, moments) - answered).flatten()


def _mean_outputs(weights: Tensor, moments: Moments) -> Tensor:
    """(groups, rows), from weights (groups, rows, columns)."""
    return (weights @ moments.input_mean[..., None]).squeeze(-1)
