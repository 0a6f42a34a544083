"""A network is run once, and every call that it makes of torch is seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from rdsearch.base.network.channels.calls import FOLLOWED, bound
from rdsearch.base.network.channels.groups import Channels, Groups
from rdsearch.base.network.channels.parts import IN_PARTS
from rdsearch.base.network.inputs import Inputs, forward
from rdsearch.base.network.outputs import tensors_of
from rdsearch.base.randomness import isolated_rng

_ASKING = frozenset(
    [
        "get",
        "size",
        "dim",
        "numel",
        "nelement",
        "ndimension",
        "stride",
        "len",
        "element_size",
        "get_device",
        "is_contiguous",
        "is_floating_point",
        "is_complex",
        "is_same_size",
        "type",
        "storage_offset",
        "hash",
        "repr",
        "format",
    ]
)
"""Calls without a tensor as their result that look at a tensor's form alone."""

_ZEROS = frozenset(["zeros", "new_zeros", "zeros_like"])


def joined_channels(network: nn.Module, inputs: Inputs) -> list[Channels]:
    """The sets of joined hidden channels of a network, in the order in which it first makes them.

    Args:
        network: Run once in evaluation mode, without gradients; not changed.
        inputs: A batch on the network's device; one example will do.

    Raises:
        Exception: Of the network's own code.
    """
    if any(isinstance(module, torch.jit.ScriptModule) for module in network.modules()):
        return []  # its calls are not seen
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        with torch.no_grad(), isolated_rng(0), _Watch(network) as watch:
            outputs = forward(network, inputs)
        found: list[Channels] = watch.found(outputs)
        return found
    finally:
        for module in training:
            module.training = True


class _Watch(TorchFunctionMode):
    """Sees every call of a function of torch, and follows channels through it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        names: dict[int, str] = {}
        for name, tensor in network.state_dict(keep_vars=True).items():
            names.setdefault(id(tensor), name)
        self._groups = Groups(names)
        self._alive: list[Any] = []  # so that no id is given twice

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        name = getattr(function, "__name__", "").strip("_")
        result = function(*args, **named)
        if name in _ZEROS:
            self._alive.append(result)
            self._groups.note_zeros(result)
        tensors = [*_tensors(args), *_tensors(named)]
        if any(map(self._groups.knows, tensors)):
            self._alive += [result, tensors]
            if not self._follow(name, args, named, result):
                for tensor in (*tensors, *_tensors(result)):
                    self._groups.leave_out(tensor)
        return result

    def _follow(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> bool:
        if name in IN_PARTS:
            return IN_PARTS[name](self._groups, name, args, kwargs, result)
        if not isinstance(result, Tensor):
            return name in _ASKING and not any(True for _ in _tensors(result))
        if name not in FOLLOWED:
            return False
        arguments = bound(name, args, kwargs)
        return arguments is not None and FOLLOWED[name](self._groups, arguments, result)

    def found(self, outputs: Any) -> list[Channels]:
        """The sets that were seen, but for those that the network's outputs carry."""
        for output in _tensors(outputs):
            self._groups.leave_out(output)
        return self._groups.found()


def _tensors(value: Any) -> Iterator[Tensor]:
    """A tensor itself, or those in a sequence or mapping."""
    return tensors_of(value) if isinstance(value, Tensor | Mapping | tuple | list) else iter(())
