"""Hessian-aware quantisation: each layer by the second moments that its inputs have in the float network."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rdsearch.quantization.layers import calibration_batch, mean_restored, running, treated_layers
from rdsearch.quantization.method import Work, finish
from rdsearch.quantization.moments import Moments, thinning
from rdsearch.quantization.rate_aware import round_others
from rdsearch.quantization.solver import solve
from rdsearch.quantization.uniform import Quantized


def hessian(work: Work) -> dict[str, Quantized]:
    """Levels that keep every layer's outputs near the float network's, at ``rate_weight`` a bit.

    A weight that is in no convolution or linear layer, or in one that calibration does not reach, is rounded by rate.

    Raises:
        QuantizationError: There is not exactly one calibration batch, or it gives values that are not finite.
    """
    layers, batch = treated_layers(work), calibration_batch(work)
    restored = mean_restored(work, layers)
    solved: dict[str, Quantized] = {}

    def quantize(name: str, _: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        if name not in solved:
            layer = layers[name]
            moments = Moments(layer, inputs[0], thinning(layer, outputs))
            solved[name] = solve(work, name, layer, moments, name in restored)

    handles = [layer.register_forward_hook(partial(quantize, name)) for name, layer in layers.items()]
    with running(work.network, handles):
        work.network(batch)
    levels = solved | round_others(work, solved)
    finish(work, levels)
    return levels
