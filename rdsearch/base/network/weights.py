"""Which parameters of a network are weights: the matrices and kernels that are pruned and coded as levels.

Other parameters are vectors, each coded at bits of its own: biases, scales, class tokens, position embeddings, tables
of attention biases.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from math import prod

from torch import nn
from torch.nn.parameter import is_lazy

LAYERS: dict[str, tuple[str, ...]] = {
    "torch.nn.modules.conv._ConvNd": ("weight",),
    "torch.nn.modules.linear.Linear": ("weight",),
    "torch.nn.modules.linear.Bilinear": ("weight",),
    "torch.nn.modules.sparse.Embedding": ("weight",),
    "torch.nn.modules.sparse.EmbeddingBag": ("weight",),
    "torch.nn.modules.activation.MultiheadAttention": ("*_proj_weight",),
    "torch.nn.modules.rnn.RNNBase": ("weight_*",),
    "torch.nn.modules.rnn.RNNCellBase": ("weight_*",),
    "transformers.pytorch_utils.Conv1D": ("weight",),
}
"""Type of a layer, which is also that of its subclasses, to patterns of the parameters that are weights at any size."""

SMALL_SHARE = 0.05
"""Of all parameters: what belongs to no layer above is small, where it and all such that are no larger are so few."""


def weights_of(network: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of a network.

    These are the weights of the known layers, and of other parameters those with two axes longer than 1 that are not
    small beside the network (experts of three axes, say, or what a network multiplies with itself). No value is read.

    Args:
        network: Any module; one on ``meta`` will do.

    Returns:
        Name in the state dict to the live parameter, in the network's order; one that several layers share appears
        once, under its first name.
    """
    known = {
        id(parameter)
        for module in network.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if any(fnmatchcase(name, pattern) for pattern in _patterns(module))
    }
    real = {
        name: parameter
        for name, parameter in network.named_parameters()
        if parameter.is_floating_point() and not is_lazy(parameter)
    }
    total = sum(parameter.numel() for parameter in real.values())
    others = sorted(
        parameter.numel() for parameter in real.values() if id(parameter) not in known and _is_matrix(parameter)
    )

    def is_small(parameter: nn.Parameter) -> bool:
        return sum(size for size in others if size <= parameter.numel()) <= SMALL_SHARE * total

    return {
        name: parameter
        for name, parameter in real.items()
        if (id(parameter) in known and parameter.dim() > 1) or (_is_matrix(parameter) and not is_small(parameter))
    }


def _is_matrix(parameter: nn.Parameter) -> bool:
    longest = max(parameter.shape, default=1)
    return prod(parameter.shape) > longest


def _patterns(module: nn.Module) -> tuple[str, ...]:
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(module).__mro__)
    return next((LAYERS[name] for name in names if name in LAYERS), ())
