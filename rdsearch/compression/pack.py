"""A float network to the bytes of its file: quantise, match statistics, code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.base.inputs import Inputs
from rdsearch.coding.layout import Layout
from rdsearch.coding.levels import Levels
from rdsearch.coding.networkfile import NetworkFile, encode_file
from rdsearch.coding.progressive import Layer
from rdsearch.compression.loading import layout_of
from rdsearch.compression.progressive import coarser_layers
from rdsearch.compression.resolutions import choose_cells
from rdsearch.compression.unread import forget_unread
from rdsearch.config.recipe import QuantizationRecipe
from rdsearch.pruning.patterns import matches, require_matches
from rdsearch.quantization import METHODS
from rdsearch.quantization.batchnorm import batchnorm_layers, scale_and_shift
from rdsearch.quantization.folding import folded
from rdsearch.quantization.method import Work
from rdsearch.quantization.uniform import Quantized, quantize_to_bits, survivor_rms

LevelTrainer: TypeAlias = Callable[[nn.Module, Mapping[str, Quantized]], dict[str, Quantized]]
"""From the network that decodes from levels, and these, to better levels; the network is left as `pack` codes it."""


def pack(
    network: nn.Module,
    fresh_network: Callable[[], nn.Module],
    settings: QuantizationRecipe,
    calibration: Sequence[Inputs],
    *,
    network_id: str | None = None,
    recipe: Mapping[str, Any] | None = None,
    train_levels: LevelTrainer | None = None,
) -> bytes:
    """The ``.rdz`` file of a network.

    Args:
        network: Float weights, pruned ones exactly zero; not changed.
        fresh_network: Makes networks of the same architecture.
        settings: Method, steps and bits.
        calibration: Inputs on the network's device, for methods that look at the inputs of layers (in one
            batch) and for matching batch normalisation; the first few show which channels nothing reads.
        network_id: Registered id, which saves names and shapes.
        recipe: Stored in the file when given.
        train_levels: Trains the levels that the method has chosen, before they are coded.

    Raises:
        QuantizationError: A weight is not finite, the step is too small, the method lacks calibration inputs, or
            there is no batch normalisation to fold.
        TaskError: The calibration inputs hold something else than tensors with one entry for each example.
        PruningError: A pattern of ``settings.plain`` or ``settings.step_multipliers`` matches no weight.
    """
    if settings.fold_batchnorm:
        network = folded(network, fresh_network)
    layout = layout_of(network)
    coarse = _copy(network, fresh_network)
    weights = METHODS.load(settings.method)(_work(network, coarse, layout, settings, calibration))
    if train_levels is not None:
        weights = train_levels(coarse, weights)
    if calibration:
        weights = forget_unread(coarse, weights, calibration[0])
    vectors = _quantize_vectors(coarse, layout, settings.bias_bits)
    state = coarse.state_dict()
    file = NetworkFile(
        layout=layout,
        weights={name: _levels(quantized) for name, quantized in weights.items()},
        vectors=vectors,
        buffers={entry.name: _buffer(state[entry.name]) for entry in layout.of("buffer")},
        network_id=network_id,
        recipe=recipe,
    )
    return encode_file(file, _coarser(file, network, coarse, settings, calibration))


def _coarser(
    file: NetworkFile,
    network: nn.Module,
    decoded: nn.Module,
    settings: QuantizationRecipe,
    calibration: Sequence[Inputs],
) -> list[Layer]:
    cells = choose_cells([levels for levels, _ in file.weights.values()], settings.layers)
    matched = calibration if settings.reestimate_batchnorm else []
    return coarser_layers(cells, network, decoded, file.weights, file.vectors, matched)


def _copy(network: nn.Module, fresh_network: Callable[[], nn.Module]) -> nn.Module:
    copied = fresh_network().to(next(iter(network.parameters())).device)
    copied.load_state_dict(network.state_dict())
    return copied.eval()


def _work(
    network: nn.Module,
    coarse: nn.Module,
    layout: Layout,
    settings: QuantizationRecipe,
    calibration: Sequence[Inputs],
) -> Work:
    names = [entry.name for entry in layout.of("weight")]
    require_matches(settings.plain, names, "quantization.plain")
    require_matches(settings.step_multipliers, names, "quantization.step_multipliers")
    state = network.state_dict()
    shared = survivor_rms([state[name] for name in names])
    units = {name: shared if settings.granularity == "network" else survivor_rms([state[name]]) for name in names}
    return Work(
        network,
        coarse,
        steps={name: settings.step * _multiplier(settings, name) * unit for name, unit in units.items()},
        dead_zone=settings.dead_zone,
        rate_weight=settings.rate_weight,
        plain=frozenset(name for name in names for pattern in settings.plain if matches(name, pattern)),
        batches=calibration,
        match_batchnorm=settings.reestimate_batchnorm,
    )


def _multiplier(settings: QuantizationRecipe, name: str) -> float:
    found = (multiplier for pattern, multiplier in settings.step_multipliers.items() if matches(name, pattern))
    return next(found, 1.0)


def _quantize_vectors(network: nn.Module, layout: Layout, bits: int) -> dict[str, Levels]:
    state = network.state_dict()
    normalisations = batchnorm_layers(network)
    vectors: dict[str, Levels] = {}
    for entry in layout.entries:
        if entry.kind == "vector":
            vectors[entry.name] = _levels(quantize_to_bits(state[entry.name], bits))
        elif entry.kind == "batchnorm":
            scale, shift = scale_and_shift(normalisations[entry.name])
            vectors[f"{entry.name}.scale"] = _levels(_ones(scale) or quantize_to_bits(scale, bits))
            vectors[f"{entry.name}.shift"] = _levels(quantize_to_bits(shift, bits))
    return vectors


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
