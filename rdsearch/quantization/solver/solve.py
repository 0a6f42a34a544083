"""From the moments of a layer's inputs to its levels, weights and bias."""

from __future__ import annotations

import torch
from torch import Tensor

from rdsearch.errors import QuantizationError
from rdsearch.quantization.forms import Form
from rdsearch.quantization.method import Work, put, put_bias
from rdsearch.quantization.moments import Moments
from rdsearch.quantization.solver.levels import choose_levels, damped, inverse_factor
from rdsearch.quantization.uniform import Quantized, in_steps

ON_A_PROCESSOR = 2**12
"""Weights of a matrix that a processor is done with before a GPU has started its kernels."""


def solve(
    work: Work, name: str, form: Form, weight: Tensor, bias: str | None, moments: Moments, centred: bool
) -> Quantized:
    """Quantise one weight: it, and the bias that goes with it, are replaced in ``work.coarse``.

    Args:
        work: What is quantised.
        name: The weight's name.
        form: How it is matrices.
        weight: The float weight.
        bias: Name of what is added to its products, if that makes up for their mean.
        moments: Of its inputs, with the products wanted where they are not simply the float weight's own.
        centred: Whether the products' mean is restored whatever the levels are, so that only deviations count.

    Raises:
        QuantizationError: The inputs are not finite, or the step is too small.
    """
    second, cross = moments.second(centred), moments.cross(centred)
    if not torch.isfinite(second).all():
        raise QuantizationError(f"the inputs of {name} have NaN or infinite values in calibration; check the network")
    ratio, step = in_steps(weight, work.steps[name])
    matrices = form.matrices(ratio).to(second.device).contiguous()
    place = torch.device("cpu") if matrices[0].numel() <= ON_A_PROCESSOR else second.device
    levels = torch.zeros(matrices.shape, dtype=torch.int32, device=place)
    taps = form.taps(tuple(weight.shape))
    noise = moments.noise.tolist() if centred else [0.0] * len(second)
    for group, matrix in enumerate(matrices.to(place) if step else ()):
        here = second[group].to(place)
        moment = damped(here, noise[group], work.damping)
        factor = inverse_factor(moment)
        target = matrix if cross is None else _target(matrix, cross[group].to(place) / step, here, factor)
        levels[group] = choose_levels(target, matrix != 0.0, moment, factor, work.rate_weight, taps)
    shaped = form.weight(levels.cpu(), tuple(weight.shape)).contiguous().numpy()
    quantized = Quantized(shaped, step)
    if bias is not None:
        decoded = (levels.float() * step).double().to(second.device)
        wanted = moments.output_mean
        if wanted is None:
            wanted = _mean_outputs(form.matrices(weight.detach()).to(decoded), moments)
        lost = wanted - _mean_outputs(decoded, moments)
        own = work.network.get_parameter(bias).detach().to(decoded)
        put_bias(work.coarse, bias, (own + lost.flatten()).cpu().numpy())
    # Last: where the network itself becomes the coarse one, this is the float weight.
    put(work.coarse, name, quantized)
    return quantized


def _target(weights: Tensor, cross: Tensor, second: Tensor, factor: Tensor) -> Tensor:
    """The weights that best restore the wanted outputs: W + (E[y x'] - W E[x x']) (E[x x'] + rho I)^-1."""
    return weights + (cross - weights @ second) @ factor.T @ factor


def _mean_outputs(weights: Tensor, moments: Moments) -> Tensor:
    """(groups, rows), from weights (groups, rows, columns)."""
    return (weights @ moments.input_mean[..., None]).squeeze(-1)
