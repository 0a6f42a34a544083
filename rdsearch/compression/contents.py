"""The last stage before the coder: biases, normalisations and buffers of a decoded network, beside its levels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from rdsearch.coding.layout import Layout
from rdsearch.coding.levels import Levels
from rdsearch.compression.quantize import Decoded
from rdsearch.quantization.batchnorm import batchnorm_layers, scale_and_shift
from rdsearch.quantization.uniform import Quantized, quantize_to_bits


def weight_levels(weights: Mapping[str, Quantized]) -> dict[str, Levels]:
    """Levels and step of every weight, as a file holds them."""
    return {name: _levels(quantized) for name, quantized in weights.items()}


def vector_levels(decoded: Decoded, layout: Layout, bits: int) -> dict[str, Levels]:
    """Biases, and the scale and shift of batch normalisations, in ``bits`` bits each.

    Raises:
        QuantizationError: One is not finite.
    """
    state = decoded.network.state_dict()
    normalisations = batchnorm_layers(decoded.network)
    vectors: dict[str, Levels] = {}
    for entry in layout.entries:
        if entry.kind == "vector":
            vectors[entry.name] = _levels(quantize_to_bits(state[entry.name], bits))
        elif entry.kind == "batchnorm":
            scale, shift = scale_and_shift(normalisations[entry.name])
            vectors[f"{entry.name}.scale"] = _levels(_ones(scale) or quantize_to_bits(scale, bits))
            vectors[f"{entry.name}.shift"] = _levels(quantize_to_bits(shift, bits))
    return vectors


def buffer_values(decoded: Decoded, layout: Layout) -> dict[str, np.ndarray]:
    """Buffers as they are, floats as float32."""
    state: Mapping[str, Tensor] = decoded.network.state_dict()
    return {entry.name: _buffer(state[entry.name]) for entry in layout.of("buffer")}


def _ones(scale: Tensor) -> Quantized | None:
    """A folded layer's scale, as cheap as can be."""
    if not torch.allclose(scale, torch.ones_like(scale), rtol=0.0, atol=1e-6):
        return None
    return Quantized(np.ones(scale.shape, np.int32), 1.0)


def _levels(quantized: Quantized) -> Levels:
    return quantized.levels, quantized.step


def _buffer(tensor: Tensor) -> np.ndarray:
    plain = tensor.detach()
    plain = plain.float() if plain.is_floating_point() else plain
    array: np.ndarray = plain.cpu().numpy()
    return array
