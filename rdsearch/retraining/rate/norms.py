"""Batch normalisation while a network is trained for its file.

At first it normalises by the statistics of each batch, with a float scale and shift, which bears the changes
that coarse levels make. Then it is the map that the file has, whose scale and shift are levels as all
others are.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from rdsearch.quantization.batchnorm import BatchNorm, batchnorm_layers, scale_and_shift, set_scale_and_shift

LR = 1e-3
"""Of scale and shift by Adam, while these are floats."""
_SILENT = 1e-3
"""Of eps: a channel whose variance is below this says the same whatever it is given."""


def take_statistics(network: nn.Module, source: nn.Module) -> bool:
    """Give a network the normalisation of the float network, if that has statistics of its own.

    Returns:
        Whether it has: folded normalisations, and those of a decoded file, are plain maps.
    """
    layers, originals = batchnorm_layers(network), batchnorm_layers(source)
    if not layers or any(_is_map(layer) for layer in originals.values()):
        return False
    for name, layer in layers.items():
        layer.load_state_dict(originals[name].state_dict())
    return True


def _is_map(layer: BatchNorm) -> bool:
    assert layer.running_mean is not None  # noqa: S101 - batchnorm_layers() gives only layers that have them
    assert layer.running_var is not None  # noqa: S101
    plain = torch.full_like(layer.running_var, 1.0).sub_(layer.eps)
    return not layer.running_mean.any() and bool(torch.equal(layer.running_var, plain))


def silence(network: nn.Module) -> None:
    """Set the scale of every channel that nothing feeds to zero: over the root of eps alone it would be huge."""
    with torch.no_grad():
        for layer in batchnorm_layers(network).values():
            if layer.running_var is not None:
                layer.weight.masked_fill_(layer.running_var < _SILENT * layer.eps, 0.0)


def become_maps(network: nn.Module) -> None:
    """Make scale and shift of each normalisation what a file holds."""
    silence(network)
    for layer in batchnorm_layers(network).values():
        set_scale_and_shift(layer, *scale_and_shift(layer))


def hold(network: nn.Module) -> None:
    """Keep normalisations from looking at their batch."""
    for module in network.modules():
        if isinstance(module, _NormBase):
            module.training = False


def parameters(network: nn.Module) -> list[nn.Parameter]:
    """Scales and shifts of all normalisations."""
    return [value for layer in batchnorm_layers(network).values() for value in (layer.weight, layer.bias)]
