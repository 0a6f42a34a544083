"""Weights that are computed from other parameters, by weight norm, spectral norm, a mask: made parameters again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm, remove_spectral_norm
from torch.nn.utils.weight_norm import WeightNorm, remove_weight_norm


def fold_computed(network: nn.Module) -> nn.Module:
    """Replace what is computed at every call by its value, in place: what the network does stays the same.

    A parametrisation of any kind, ``weight_norm`` and ``spectral_norm`` in their old form, and masks of
    ``torch.nn.utils.prune`` are removed; a layer then has its plain ``weight`` again.

    Returns:
        The network.
    """
    network_modes = [(module, module.training) for module in network.modules()]
    network.eval()  # spectral norm in training would move its estimate
    with torch.no_grad():
        for module in list(network.modules()):
            if parametrize.is_parametrized(module):
                for name in list(module.parametrizations):  # type: ignore[arg-type]
                    parametrize.remove_parametrizations(module, name, leave_parametrized=True)
            for hook in list(module._forward_pre_hooks.values()):
                _remove(hook, module)
    for module, training in network_modes:
        module.training = training
    return network


def _remove(hook: Any, module: nn.Module) -> None:
    if isinstance(hook, WeightNorm):
        remove_weight_norm(module, hook.name)
    elif isinstance(hook, SpectralNorm):
        remove_spectral_norm(module, hook.name)
    elif isinstance(hook, BasePruningMethod):
        hook.remove(module)
        for key, known in list(module._forward_pre_hooks.items()):
            if known is hook:
                del module._forward_pre_hooks[key]


def forget_graphs(network: nn.Module) -> nn.Module:
    """Detach tensors that modules keep as plain attributes, as old weight norm does: no other can be copied.

    Returns:
        The network; what it computes stays the same.
    """
    for module in network.modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor) and value.grad_fn is not None:
                vars(module)[name] = value.detach()
    return network
