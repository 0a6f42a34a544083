"""A float network to the bytes of its file: quantise, match statistics, code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.coding.layout import Layout
from rdsearch.coding.networkfile import Levels, NetworkFile, encode_file
from rdsearch.quantization.batchnorm import batchnorm_layers, match_statistics, scale_and_shift
from rdsearch.quantization.uniform import (
    Quantized,
    dequantize,
    quantize_to_bits,
    quantize_uniform,
    survivor_rms,
)
from rdsearch.rdz import layout_of
from rdsearch.recipe import QuantizationRecipe


def pack(
    network: nn.Module,
    fresh_network: Callable[[], nn.Module],
    settings: QuantizationRecipe,
    calibration: Sequence[Tensor],
    *,
    network_id: str | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> bytes:
    """The ``.rdz`` file of a network.

    Args:
        network: Float weights, pruned ones exactly zero; not changed.
        fresh_network: Makes networks of the same architecture.
        settings: Steps and bits.
        calibration: Inputs on the network's device for the re-estimation of batch normalisation; unused
            where the network has none or ``settings`` turn it off.
        network_id: Registered id, which saves names and shapes.
        recipe: Stored in the file when given.

    Raises:
        QuantizationError: A weight is not finite, or the step is too small.
    """
    layout = layout_of(network)
    state = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    weights = _quantize_weights({entry.name: state[entry.name] for entry in layout.of("weight")}, settings)
    vectors = _quantize_vectors(
        _normalised(network, fresh_network, weights, settings, calibration), layout, state, settings.bias_bits
    )
    file = NetworkFile(
        layout=layout,
        weights={name: _levels(quantized) for name, quantized in weights.items()},
        vectors=vectors,
        buffers={entry.name: _buffer(state[entry.name]) for entry in layout.of("buffer")},
        network_id=network_id,
        recipe=recipe,
    )
    return encode_file(file)


def _quantize_weights(weights: Mapping[str, Tensor], settings: QuantizationRecipe) -> dict[str, Quantized]:
    shared = survivor_rms(list(weights.values()))
    quantized = {}
    for name, weight in weights.items():
        unit = shared if settings.granularity == "network" else survivor_rms([weight])
        quantized[name] = quantize_uniform(weight, settings.step * unit, settings.dead_zone)
    return quantized


def _normalised(
    network: nn.Module,
    fresh_network: Callable[[], nn.Module],
    weights: Mapping[str, Quantized],
    settings: QuantizationRecipe,
    calibration: Sequence[Tensor],
) -> nn.Module:
    """A network whose batch normalisation fits the quantised weights."""
    if not (settings.reestimate_batchnorm and calibration and batchnorm_layers(network)):
        return network
    device = next(iter(network.parameters())).device
    coarse = fresh_network().to(device)
    coarse.load_state_dict(network.state_dict())
    parameters = dict(coarse.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for name, quantized in weights.items():
            parameters[name].copy_(torch.from_numpy(dequantize(quantized)))
    match_statistics(coarse, network, calibration)
    return coarse


def _quantize_vectors(network: nn.Module, layout: Layout, state: Mapping[str, Tensor], bits: int) -> dict[str, Levels]:
    normalisations = batchnorm_layers(network)
    vectors: dict[str, Levels] = {}
    for entry in layout.entries:
        if entry.kind == "vector":
            vectors[entry.name] = _levels(quantize_to_bits(state[entry.name], bits))
        elif entry.kind == "batchnorm":
            scale, shift = scale_and_shift(normalisations[entry.name])
            vectors[f"{entry.name}.scale"] = _levels(quantize_to_bits(scale, bits))
            vectors[f"{entry.name}.shift"] = _levels(quantize_to_bits(shift, bits))
    return vectors


def _levels(quantized: Quantized) -> Levels:
    return quantized.levels, quantized.step


def _buffer(tensor: Tensor) -> np.ndarray:
    plain = tensor.float() if tensor.is_floating_point() else tensor
    array: np.ndarray = plain.cpu().numpy()
    return array
