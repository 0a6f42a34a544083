"""Networks without their weights."""

from __future__ import annotations

import copy

import torch
from torch import nn

from rdsearch.errors import TaskError


def blank(network: nn.Module) -> nn.Module:
    """Set every float in the network's ``state_dict`` to zero, in place; returns the network."""
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.zero_()
    return network


class Template:
    """Makes empty copies of a trained network, tied weights and all, and holds none of its weights itself.

    Args:
        network: Copied; not changed.

    Raises:
        TaskError: The network cannot be copied.
    """

    def __init__(self, network: nn.Module) -> None:
        try:
            self._network = copy.deepcopy(network).to("cpu").float()
        except (TypeError, RuntimeError) as error:
            raise TaskError(
                f"{type(network).__name__} cannot be copied ({error}): give a function that makes it, and a checkpoint"
            ) from error
        for parameter in self._network.parameters():
            # One number seen from everywhere: pickles in a few bytes, whatever the shape.
            parameter.data = torch.zeros((), dtype=parameter.dtype).expand(parameter.shape)
            parameter.grad = None

    def __call__(self) -> nn.Module:
        """A new copy, all of its weights zero."""
        network = copy.deepcopy(self._network)
        for parameter in network.parameters():
            parameter.data = torch.zeros(parameter.shape, dtype=parameter.dtype)
        return network
