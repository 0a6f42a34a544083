"""Networks out of what they are wrapped in: data parallel, distributed, averaged, compiled."""

from __future__ import annotations

import copy

import torch
from torch import nn

INNER = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "AveragedModel": "module",
    "OptimizedModule": "_orig_mod",
}
"""Torch's wrappers by the name of their class, with the attribute that holds the network. `torch.compile` makes an
``OptimizedModule``; importing any of these to compare classes would take seconds."""

WRAPPER_PARTS = frozenset(INNER.values())
"""What the wrappers add to the names of tensors."""


def unwrapped(network: nn.Module) -> nn.Module:
    """The network itself, on the very same tensors, without wrappers around it or around a part of it.

    Args:
        network: Not changed.

    Returns:
        The network where nothing in it is wrapped; otherwise one that shares all tensors with it, so that filling it
        fills the wrapped one.
    """
    return _unwrapped(network, {})


def _unwrapped(network: nn.Module, done: dict[int, nn.Module]) -> nn.Module:
    while (attribute := _inner(network)) is not None:
        network = getattr(network, attribute)
    if id(network) in done:
        return done[id(network)]
    done[id(network)] = network
    if isinstance(network, torch.jit.ScriptModule):
        return network
    children = {name: None if child is None else _unwrapped(child, done) for name, child in network._modules.items()}
    if any(children[name] is not child for name, child in network._modules.items()):
        done[id(network)] = copy.copy(network)
        done[id(network)].__dict__["_modules"] = children
    return done[id(network)]


def _inner(network: nn.Module) -> str | None:
    for kind in type(network).__mro__:
        if kind.__name__ in INNER and kind.__module__.startswith("torch."):
            return INNER[kind.__name__]
    return None
