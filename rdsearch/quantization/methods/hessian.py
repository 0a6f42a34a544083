"""Hessian-aware quantisation: each layer by the second moments that its inputs have in the float network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from rdsearch.base.inputs import Inputs, count_examples, forward, some_examples
from rdsearch.quantization.inputs import Layer, layer_input
from rdsearch.quantization.layers import Treatment, require_treated, running
from rdsearch.quantization.method import Work, finish
from rdsearch.quantization.methods.rate_aware import round_others
from rdsearch.quantization.moments import Moments, parts, thinning
from rdsearch.quantization.uniform import Quantized


def hessian(work: Work) -> dict[str, Quantized]:
    """Levels that keep every layer's outputs near the float network's, at ``rate_weight`` a bit.

    Weights of embeddings and attention projections are rounded by rate.

    Raises:
        QuantizationError: There is not exactly one calibration batch, it gives values that are not finite, or a weight
            that is not plain is in no convolution or linear layer, or in one that calibration does not reach.
    """
    treatment = Treatment.of(work)
    moments = _observe(work.network, treatment.layers, treatment.batch)
    require_treated(work, moments)
    solved = {name: treatment.solve(name, found) for name, found in moments.items()}
    levels = solved | round_others(work, solved)
    finish(work, levels)
    return levels


def _observe(network: nn.Module, layers: Mapping[str, Layer], batch: Inputs) -> dict[str, Moments]:
    """Moments of the layers' inputs; a part of the images at a time, so that activations need little memory."""
    moments = {name: Moments(layer) for name, layer in layers.items()}
    reached: set[str] = set()
    total = count_examples(batch)
    for part, first in parts(total):
        inputs = some_examples(batch, part)
        share = count_examples(inputs) / total
        seen: set[str] = set()
        add = partial(_add, moments, layers, seen, first, share)
        handles = [layer.register_forward_hook(partial(add, name), with_kwargs=True) for name, layer in layers.items()]
        with running(network, handles):
            forward(network, inputs)
        reached |= seen
    return {name: found for name, found in moments.items() if name in reached}


def _add(
    moments: Mapping[str, Moments],
    layers: Mapping[str, Layer],
    seen: set[str],
    first: int,
    share: float,
    name: str,
    called: nn.Module,
    arguments: tuple[Any, ...],
    named: Mapping[str, Any],
    outputs: Tensor,
) -> None:
    if name not in seen:  # of a layer that is called several times, the first call counts
        seen.add(name)
        moments[name].add(layer_input(called, arguments, named), thinning(layers[name], outputs, share), first)
