"""Steps by sensitivity: coarse where the outputs do not mind, fine where they do, at the rate of one step for all.

What rounding one weight costs the outputs is measured once, at the step that all would share; at other steps it grows
with the squared rounding error. Rates are the entropies of the rounded weights. Of each weight's steps the one is taken
that minimises distortion + price * rate, at the one price for all at which the rates add up to those of the shared step
(Lagrangian bit allocation, Shoham and Gersho 1988, "Efficient bit allocation for an arbitrary set of quantizers").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rdsearch.base.device import doubles
from rdsearch.base.network.inputs import Inputs, in_parts
from rdsearch.base.network.modes import outputs_of
from rdsearch.errors import QuantizationError
from rdsearch.quantization.uniform import quantize_uniform

FACTORS = tuple(2.0 ** (quarter / 4) for quarter in range(-12, 13))
"""Steps that are looked at, in units of the shared one: an eighth to eight times, by quarters of octaves."""
SAMPLED = 2**16
"""Values of a weight that rates and errors are estimated from, evenly spread, at most."""
EXAMPLES_AT_A_TIME = 64
_BISECTIONS = 60
_SHARED = FACTORS.index(1.0)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """What a weight costs at each of `FACTORS`.

    Attributes:
        bits: Of all its values.
        distortion: Of the outputs; infinite where nothing would be left of the weight.
    """

    bits: Floats
    distortion: Floats


def sensitive_steps(network: nn.Module, shared: Mapping[str, float], calibration: Sequence[Inputs]) -> dict[str, float]:
    """The step of each weight.

    Args:
        network: Float weights; each is rounded in turn and put back, bit by bit as it was.
        shared: Name of each weight to the step that it would have, were nothing known of its sensitivity.
        calibration: Inputs on the network's device, whose outputs are compared.

    Raises:
        QuantizationError: There are no inputs, or outputs are not finite.
    """
    if not calibration:
        raise QuantizationError(
            "quantization.granularity: sensitivity looks at outputs, and there are no calibration inputs"
        )
    curves = measure_curves(network, shared, calibration)
    chosen = allocate(list(curves.values()))
    return {name: shared[name] * FACTORS[place] for name, place in zip(curves, chosen, strict=True)}


def measure_curves(network: nn.Module, shared: Mapping[str, float], calibration: Sequence[Inputs]) -> dict[str, Curve]:
    """Curve of each weight; arguments and errors as for `sensitive_steps`."""
    with torch.no_grad():
        wanted = _outputs(network, calibration)
        return {
            name: _curve(network, network.get_parameter(name), step, calibration, wanted)
            for name, step in shared.items()
        }


def allocate(curves: Sequence[Curve]) -> list[int]:
    """Places in `FACTORS`, one a curve, of the least distortion at the bits that all take at the shared step."""
    budget = sum(float(curve.bits[_SHARED]) for curve in curves)

    def at(price: float) -> list[int]:
        return [int(np.argmin(curve.distortion + price * curve.bits)) for curve in curves]

    scale = max((float(curve.distortion[_SHARED]) for curve in curves), default=0.0)
    if not scale or not budget:
        return [_SHARED] * len(curves)
    low, high = math.log2(scale / budget) - 60.0, math.log2(scale / budget) + 60.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        taken = sum(float(curve.bits[place]) for curve, place in zip(curves, at(2.0**middle), strict=True))
        low, high = (middle, high) if taken > budget else (low, middle)
    return at(2.0**high)


def _curve(
    network: nn.Module, weight: nn.Parameter, step: float, calibration: Sequence[Inputs], wanted: Sequence[Tensor]
) -> Curve:
    values = weight.detach().reshape(-1)
    values = values[:: max(1, -(-values.numel() // SAMPLED))].cpu()
    found = [_rounded(values, step * factor) for factor in FACTORS]
    bits = np.array([entropy for entropy, _ in found]) * weight.numel()
    errors = np.array([error for _, error in found])
    distortion = np.zeros(len(FACTORS))
    if errors[_SHARED] > 0:
        distortion = errors / errors[_SHARED] * _lost(network, weight, step, calibration, wanted)
    gone = (bits == 0) & bool(values.any())
    return Curve(bits, np.where(gone, np.inf, distortion))


def _rounded(values: Tensor, step: float) -> tuple[float, float]:
    """Entropy of rounded values, in bits a value, and the mean squared error."""
    quantized = quantize_uniform(values, step)
    _, counts = np.unique(quantized.levels, return_counts=True)
    shares = counts / max(1, values.numel())
    decoded = torch.from_numpy(quantized.levels.astype(np.float64) * quantized.step)
    return float(-(shares * np.log2(shares)).sum()), float((values.double() - decoded).square().mean())


def _lost(
    network: nn.Module, weight: nn.Parameter, step: float, calibration: Sequence[Inputs], wanted: Sequence[Tensor]
) -> float:
    """Squared error of the outputs with one weight rounded."""
    whole = weight.detach().clone()
    quantized = quantize_uniform(whole, step)
    try:
        weight.copy_(torch.from_numpy(quantized.levels).to(weight) * quantized.step)
        found = _outputs(network, calibration)
    finally:
        weight.copy_(whole)
    lost = sum(float(doubles(one - other).square().sum()) for one, other in zip(found, wanted, strict=True))
    if not math.isfinite(lost):
        raise QuantizationError("the network's outputs are NaN or infinite in calibration; check the network")
    return lost


def _outputs(network: nn.Module, calibration: Sequence[Inputs]) -> list[Tensor]:
    """All floating-point outputs, part by part."""
    return [
        output
        for batch in calibration
        for part in in_parts(batch, EXAMPLES_AT_A_TIME)
        for output in outputs_of(network, part)
        if output.is_floating_point()
    ]
