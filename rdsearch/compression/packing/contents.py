"""The last stage before the coder: biases, normalisations and buffers of a decoded network, beside its levels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from rdsearch.coding.layout import Layout
from rdsearch.coding.levels import Levels
from rdsearch.coding.networkfile import NetworkFile
from rdsearch.compression.packing.quantize import Decoded
from rdsearch.quantization.batchnorm import batchnorm_layers, scale_and_shift
from rdsearch.quantization.uniform import Quantized, quantize_scale, quantize_to_bits


def contents(
    decoded: Decoded,
    layout: Layout,
    bias_bits: int,
    network_id: str | None,
    recipe: Mapping[str, Any] | None,
) -> NetworkFile:
    """What is in a network's file.

    Args:
        decoded: The weights' levels, and a network with the biases, normalisations and buffers that go with them.
        layout: The network's tensors.
        bias_bits: Bits of each bias, and of each scale and shift.
        network_id: Registered id, which saves names and shapes.
        recipe: Stored in the file when given.

    Raises:
        QuantizationError: A bias or normalisation is not finite.
    """
    return NetworkFile(
        layout=layout,
        weights={name: _levels(quantized) for name, quantized in decoded.weights.items()},
        buffers=_buffers(decoded.network, layout),
        vectors=_vectors(decoded, layout, bias_bits),
        network_id=network_id,
        recipe=recipe,
    )


def _vectors(decoded: Decoded, layout: Layout, bits: int) -> dict[str, Levels]:
    """Biases, and the scale and shift of batch normalisations: the levels that they have already, or get now."""
    return {
        name: _vector(name, values, decoded.vectors.get(name), bits)
        for name, values in _float_vectors(decoded.network, layout).items()
    }


def _vector(name: str, values: Tensor, quantized: Quantized | None, bits: int) -> Levels:
    if quantized is None:
        return _levels(quantize_scale(values, bits) if name.endswith(".scale") else quantize_to_bits(values, bits))
    # What has become zero since is zero.
    return np.where(values.detach().cpu().numpy() == 0, 0, quantized.levels).astype(np.int32), quantized.step


def _float_vectors(network: nn.Module, layout: Layout) -> dict[str, Tensor]:
    """By their names in the file, in its order."""
    state: Mapping[str, Tensor] = network.state_dict()
    normalisations = batchnorm_layers(network)
    vectors: dict[str, Tensor] = {}
    for entry in layout.entries:
        if entry.kind == "vector":
            vectors[entry.name] = state[entry.name]
        elif entry.kind == "batchnorm":
            scale, shift = scale_and_shift(normalisations[entry.name])
            vectors |= {f"{entry.name}.scale": scale, f"{entry.name}.shift": shift}
    return vectors


def _buffers(network: nn.Module, layout: Layout) -> dict[str, np.ndarray]:
    """Buffers as they are, floats as float32."""
    state: Mapping[str, Tensor] = network.state_dict()
    return {entry.name: _buffer(state[entry.name]) for entry in layout.of("buffer")}


def _levels(quantized: Quantized) -> Levels:
    return quantized.levels, quantized.step


def _buffer(tensor: Tensor) -> np.ndarray:
    plain = tensor.detach()
    plain = plain.float() if plain.is_floating_point() else plain
    array: np.ndarray = plain.cpu().numpy()
    return array
