"""Sequential quantisation: each layer by the inputs that the layers quantised before it leave it.

A layer's target is then no more its float weight W, but what best restores the float network's output y from the
inputs x that it really gets: W' = W + E[(y - W x) x'] (E[x x'] + rho I)^-1. As y = W x_float, this is the asymmetric
target W E[x_float x'] (E[x x'] + rho I)^-1, but for rho, which pulls towards W rather than towards zero.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rdsearch.base.inputs import Inputs, forward
from rdsearch.quantization.batchnorm import (
    batchnorm_layers,
    channel_moments,
    restoring_map,
    scale_and_shift,
    set_scale_and_shift,
)
from rdsearch.quantization.inputs import Layer, on_input
from rdsearch.quantization.layers import Treatment, coarse_layer, require_treated, running
from rdsearch.quantization.method import Work
from rdsearch.quantization.methods.rate_aware import round_others
from rdsearch.quantization.moments import Moments, parts, sample_outputs, thinning
from rdsearch.quantization.uniform import Quantized

Wanted = dict[str, tuple[list[Tensor], int]]
Statistics = dict[str, tuple[Tensor, Tensor]]


def sequential(work: Work) -> dict[str, Quantized]:
    """Levels chosen layer by layer while the calibration inputs pass through the quantised network once.

    Weights of embeddings and attention projections are rounded by rate.

    Raises:
        QuantizationError: There is not exactly one calibration batch, it gives values that are not finite, or a weight
            that is not plain is in no convolution or linear layer, or in one that calibration does not reach.
    """
    treatment = Treatment.of(work)
    wanted, statistics = _observe(work.network, treatment.layers, treatment.batch)
    require_treated(work, wanted)
    originals = {name: scale_and_shift(layer) for name, layer in batchnorm_layers(work.network).items()}
    levels = round_others(work, dict(wanted))
    solved: dict[str, Quantized] = {}

    def quantize(name: str, inputs: Tensor) -> None:
        if name not in solved:
            solved[name] = treatment.solve(name, _compared(treatment.layers[name], inputs, *wanted.pop(name)))

    normalisations = batchnorm_layers(work.coarse) if work.match_batchnorm else {}

    def match(name: str, inputs: Tensor) -> None:
        set_scale_and_shift(normalisations[name], *restoring_map(inputs, statistics[name], originals[name]))

    handles = [on_input(coarse_layer(work, name), partial(quantize, name)) for name in wanted]
    handles += [on_input(layer, partial(match, name)) for name, layer in normalisations.items()]
    with running(work.coarse, handles):
        forward(work.coarse, treatment.batch)
    require_treated(work, solved)
    return levels | solved


def _compared(layer: Layer, inputs: Tensor, outputs: list[Tensor], every: int) -> Moments:
    """Moments of a layer's inputs with the outputs that are wanted of it."""
    moments = Moments(layer)
    for (part, first), wanted in zip(parts(len(inputs)), outputs, strict=True):
        moments.add(inputs[part], every, first, wanted)
    return moments


def _observe(network: nn.Module, layers: dict[str, Layer], batch: Inputs) -> tuple[Wanted, Statistics]:
    """What the float network's layers answer, and what its batch normalisations are given."""
    wanted: Wanted = {}
    statistics: Statistics = {}

    def answer(name: str, layer: Layer, _: object, outputs: Tensor) -> None:
        wanted.setdefault(name, (sample_outputs(layer, outputs), thinning(layer, outputs)))

    def measure(name: str, inputs: Tensor) -> None:
        statistics[name] = channel_moments(inputs)

    handles = [layer.register_forward_hook(partial(answer, name)) for name, layer in layers.items()]
    handles += [on_input(layer, partial(measure, name)) for name, layer in batchnorm_layers(network).items()]
    with running(network, handles):
        forward(network, batch)
    return wanted, statistics
