"""Batch normalisation folded into the layer before it, so that a file holds no scale for it.

At inference ``s·(W·x + b) + t`` is ``(s·W)·x + (t + s·b)``: the scale goes into the rows of the weights, and only the
shift is left. Where that is exact follows from the network's graph, which torch.fx traces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import nn

from rdsearch.errors import QuantizationError
from rdsearch.quantization.batchnorm import batchnorm_layers, scale_and_shift, set_scale_and_shift
from rdsearch.quantization.method import copied

_LINEAR = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def foldable(network: nn.Module) -> dict[str, str]:
    """Batch normalisations that can be folded, and the layer of each whose rows take the scale, by name.

    A pair counts where the layer's output goes to the normalisation and nowhere else, both are used once, and the
    layer's parameters are no other module's.

    Raises:
        QuantizationError: The network's forward pass depends on its input, so that torch.fx cannot trace it.
    """
    import torch.fx

    try:
        graph = torch.fx.symbolic_trace(network).graph
    except Exception as error:  # whatever a network's own code does with a proxy in a tensor's place
        raise QuantizationError(
            f"quantization.fold_batchnorm: torch.fx cannot trace this network ({error}); leave the key false"
        ) from error
    modules, normalisations = dict(network.named_modules()), batchnorm_layers(network)
    used = Counter(node.target for node in graph.nodes if node.op == "call_module")
    owners = Counter(
        id(value) for module in modules.values() for value in module.parameters(recurse=False) if value is not None
    )
    pairs: dict[str, str] = {}
    for node in graph.nodes:
        if node.op != "call_module" or node.target not in normalisations:
            continue
        before = node.args[0] if node.args else None
        if not isinstance(before, torch.fx.Node) or before.op != "call_module" or len(before.users) != 1:
            continue
        layer = modules[str(before.target)]
        # A subclass may do more than its weights say, and so may hooks and parametrisations.
        alone = all(owners[id(value)] == 1 for value in layer.parameters())
        rows = getattr(layer, "weight", torch.empty(0)).shape[:1] == normalisations[node.target].weight.shape
        if type(layer) in _LINEAR and used[before.target] == used[node.target] == 1 and alone and rows:
            pairs[str(node.target)] = str(before.target)
    return pairs


def folded(network: nn.Module, fresh_network: Callable[[], nn.Module]) -> nn.Module:
    """A copy with every `foldable` normalisation folded: its scale is 1, and so is what its statistics do.

    Args:
        network: In the state in which it is to be coded; not changed.
        fresh_network: Makes networks of the same architecture.

    Raises:
        QuantizationError: No normalisation can be folded, or the network cannot be traced.
    """
    pairs = foldable(network)
    if not pairs:
        raise QuantizationError(
            "quantization.fold_batchnorm: no batch normalisation of this network follows a convolution or linear layer "
            "whose output goes nowhere else; leave the key false"
        )
    copy = copied(network, fresh_network)
    modules, normalisations = dict(copy.named_modules()), batchnorm_layers(copy)
    with torch.no_grad():
        for name, before in pairs.items():
            layer, (scale, shift) = modules[before], scale_and_shift(normalisations[name])
            weight, bias = layer.weight, layer.bias
            assert isinstance(weight, torch.Tensor)  # noqa: S101 - foldable() gives only layers that have one
            weight.mul_(scale.reshape(-1, *[1] * (weight.dim() - 1)))
            if isinstance(bias, torch.Tensor):
                shift = shift + scale * bias
                bias.zero_()
            set_scale_and_shift(normalisations[name], torch.ones_like(scale), shift)
    return copy.train(network.training)
