"""Weights that are computed from other parameters, by weight norm, spectral norm, a mask: made parameters again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm, SpectralNormLoadStateDictPreHook, remove_spectral_norm
from torch.nn.utils.weight_norm import WeightNorm, remove_weight_norm

from rdsearch.base.network.modes import as_in_use


def fold_computed(network: nn.Module) -> nn.Module:
    """Replace what is computed at every call by its value, in place: what the network does stays the same.

    A parametrisation of any kind, ``weight_norm`` and ``spectral_norm`` in their old form, and masks of
    ``torch.nn.utils.prune`` are removed; a layer then has its plain ``weight`` again.

    Returns:
        The network.
    """
    with as_in_use(network), torch.no_grad():  # in training mode, spectral norm would move its estimate
        for module in list(network.modules()):
            if parametrize.is_parametrized(module):
                _remove_parametrisations(module)
            for key, hook in list(module._forward_pre_hooks.items()):
                _remove(key, hook, module)
    return network


def _remove_parametrisations(module: nn.Module) -> None:
    # Not torch's own removal, which takes the property from a class that copies of the module share.
    found = {
        name: (getattr(module, name).detach().clone(), chain)
        for name, chain in module._modules["parametrizations"].items()  # type: ignore[union-attr, operator]
    }
    del module._modules["parametrizations"]
    module.__class__ = type(module).__bases__[0]
    for name, (value, chain) in found.items():
        if next(chain.parameters(recurse=False), None) is None:
            module.register_buffer(name, value)
        else:
            module.register_parameter(name, nn.Parameter(value))


def _remove(key: int, hook: Any, module: nn.Module) -> None:
    if isinstance(hook, WeightNorm):
        remove_weight_norm(module, hook.name)
    elif isinstance(hook, SpectralNorm):
        remove_spectral_norm(module, hook.name)
        for other, wrapped in list(module._load_state_dict_pre_hooks.items()):
            if isinstance(getattr(wrapped, "hook", None), SpectralNormLoadStateDictPreHook):  # which torch forgets
                del module._load_state_dict_pre_hooks[other]
    elif isinstance(hook, BasePruningMethod):
        hook.remove(module)
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
