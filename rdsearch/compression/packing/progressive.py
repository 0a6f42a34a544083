"""The coarser networks of a file in quality layers: what each knows of the weights, and the normalisation it needs."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.base.network.inputs import Inputs
from rdsearch.coding.cells import OFFSET_UNIT, Cells
from rdsearch.coding.levels import Levels
from rdsearch.coding.networkfile import NetworkFile
from rdsearch.coding.progressive import MAX_SHIFT, Refinement
from rdsearch.compression.packing.resolutions import choose_cells
from rdsearch.quantization.batchnorm import batchnorm_layers, match_statistics, scale_and_shift

SHIFT = 2
"""The last but one layer's biases and normalisation have so many bits less than the last one's, and each layer before
one bit less than its next: the coarser the weights, the less the others matter."""
_LARGEST = 2**20
"""Levels of a coarse layer's normalisation are cut off here: a channel that is all but dead has an extreme scale."""


def coarser_networks(
    count: int, file: NetworkFile, network: nn.Module, decoded: nn.Module, calibration: Sequence[Inputs]
) -> list[Refinement]:
    """The quality layers before the last one.

    Args:
        count: Quality layers wanted, the last one included.
        file: The last one: levels and steps of every weight, bias and normalisation.
        network: The float network; batch normalisation is matched to its statistics.
        decoded: The network with the last layer's values; not changed.
        calibration: Inputs for matching; none where batch normalisation stays as it is in the last layer.
    """
    cells = choose_cells([levels for levels, _ in file.weights.values()], count)
    return [
        _refinement(one, network, decoded, file, calibration, min(SHIFT + distance, MAX_SHIFT))
        for one, distance in zip(cells, reversed(range(len(cells))), strict=True)
    ]


def _refinement(
    cells: Sequence[Cells],
    network: nn.Module,
    decoded: nn.Module,
    file: NetworkFile,
    calibration: Sequence[Inputs],
    shift: int,
) -> Refinement:
    coarse = copy.deepcopy(decoded)
    offsets = []
    for one, (name, (levels, step)) in zip(cells, file.weights.items(), strict=True):
        known = one.of(levels)
        offsets.append(_centroid(one, known, levels))
        values = one.levels(known, offsets[-1]).astype(np.float32) * np.float32(step / OFFSET_UNIT)
        with torch.no_grad():
            coarse.get_parameter(name).copy_(torch.from_numpy(values))
    match_statistics(coarse, network, calibration)
    return Refinement(cells, offsets, shift, _vectors(coarse, file.vectors, shift))


def _centroid(cells: Cells, known: np.ndarray, levels: np.ndarray) -> int:
    """Where in their cells the weights lie on average, in parts of a step above the least magnitude."""
    inside = known != 0
    if cells.width == 1 or not inside.any():
        return 0
    least = cells.dead + (np.abs(known[inside].astype(np.int64)) - 1) * cells.width
    mean = float((np.abs(levels[inside].astype(np.int64)) - least).mean())
    return min(round(OFFSET_UNIT * mean), OFFSET_UNIT * cells.width - 1)


def _vectors(network: nn.Module, vectors: Mapping[str, Levels], shift: int) -> list[np.ndarray]:
    values: dict[str, Tensor] = dict(network.named_parameters(remove_duplicate=False))
    for name, layer in batchnorm_layers(network).items():
        values[f"{name}.scale"], values[f"{name}.shift"] = scale_and_shift(layer)
    return [_in_steps(values[name], step * 2**shift) for name, (_, step) in vectors.items()]


def _in_steps(values: Tensor, step: float) -> np.ndarray:
    array = values.detach().cpu().double().numpy()
    levels = np.rint(array / step) if step else np.zeros_like(array)
    return np.asarray(np.clip(levels, -_LARGEST, _LARGEST), np.int32)
