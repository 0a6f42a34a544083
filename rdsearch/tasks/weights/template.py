"""A user's network as one that can be compressed, and networks without their weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from rdsearch.base.network.computed import forget_graphs
from rdsearch.base.network.wrappers import unwrapped
from rdsearch.errors import TaskError

QUANTIZED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.nn.quantized")
"""Where torch's layers live whose weights are packed integers."""


def plain(network: nn.Module) -> nn.Module:
    """A network out of its wrappers, on the CPU and in float32: files hold float32 values, and data is read so.

    Args:
        network: Moved and converted in place.

    Raises:
        TaskError: It has no values yet, or some that no file of tensors can hold.
    """
    found = unwrapped(network)
    require_plain(found)
    return found.to("cpu").float()


def require_plain(network: nn.Module, *, values: bool = True) -> None:
    """Check that all that a network knows lies in tensors that can be read and written.

    Args:
        network: Out of its wrappers.
        values: Whether it has to have some already.

    Raises:
        TaskError: It is scripted, lazy, quantised, sharded or without values, or has state beside its tensors.
    """
    for name, module in network.named_modules():
        if problem := _module_problem(module):
            where = f"its part {name!r} ({type(module).__name__})" if name else f"network ({type(module).__name__})"
            raise TaskError(f"{where} {problem}")
    tensors = [*network.named_parameters(), *network.named_buffers()]
    for name, tensor in tensors:
        if problem := _tensor_problem(tensor, values):
            raise TaskError(f"the network's {name} {problem}")


def _module_problem(module: nn.Module) -> str | None:
    if isinstance(module, torch.jit.ScriptModule):
        return "is scripted or traced, and its layers cannot be seen: give the nn.Module that it was made from"
    if type(module).__module__.startswith(QUANTIZED):
        return "is quantised already: give the float network that it was made from"
    if type(module).__name__ == "FullyShardedDataParallel":
        return "is sharded over processes: give the network itself, and its gathered state dict as checkpoint"
    if type(module).get_extra_state is not nn.Module.get_extra_state:
        return (
            "keeps state beside its tensors (get_extra_state), which a file of tensors cannot hold: register it as "
            "buffers, or give the network without it"
        )
    return None


def _tensor_problem(tensor: Tensor, values: bool) -> str | None:
    if is_lazy(tensor):
        return "has no values yet, its layer is lazy: run the network on a batch first"
    if values and tensor.is_meta:
        return "lies on the meta device and has no values: make the network on the CPU and load its weights"
    if tensor.is_quantized or hasattr(type(tensor), "__tensor_flatten__"):
        return f"is a {type(tensor).__name__} of {tensor.dtype}, quantised or sharded: give the float network"
    if tensor.layout != torch.strided:
        return f"has the layout {tensor.layout}: give it as a dense tensor, by to_dense()"
    return None


def copied(network: nn.Module) -> nn.Module:
    """A copy of a user's network as :func:`plain` gives it, tied weights and all.

    Raises:
        TaskError: It cannot be copied, or be compressed.
    """
    found = unwrapped(network)
    require_plain(found)
    try:
        return copy.deepcopy(forget_graphs(found)).to("cpu").float()
    except (TypeError, RuntimeError) as error:
        raise TaskError(
            f"{type(found).__name__} cannot be copied ({error}): give a function that makes it, and a checkpoint"
        ) from error


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
        network: Emptied; from :func:`copied`.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
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
