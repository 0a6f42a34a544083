"""Which tensors a network has, as a file lists them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rdsearch.coding.layout import Entry, Layout
from rdsearch.coding.registered import stored_layout
from rdsearch.errors import TaskError, UnknownNameError

if TYPE_CHECKING:
    from torch import Tensor, nn


@lru_cache(maxsize=64)
def registered_layout(network_id: str) -> Layout:
    """The layout of a registered network.

    Raises:
        LookupError: No network has this id.
        TaskError: The id's options are not the network's, or say how it starts.
    """
    try:
        return stored_layout(network_id)
    except UnknownNameError:
        pass
    import torch
    from torch.overrides import TorchFunctionMode

    from rdsearch.tasks.networks.identity import build_network

    class WithoutValues(TorchFunctionMode):
        """Parameters on ``meta``; what a network computes to find its shapes (RegNet's widths) keeps its values."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            return func(*args, **(kwargs | {"device": "meta"} if func is torch.empty else kwargs))

    with WithoutValues():
        return layout_of(build_network(network_id))


def layout_of(network: nn.Module) -> Layout:
    """The layout of a network's parameters and buffers; no value is read, a network on ``meta`` will do.

    Raises:
        TaskError: A parameter is neither of real numbers nor frozen whole numbers.
    """
    from rdsearch.base.network.weights import weights_of
    from rdsearch.quantization.batchnorm import batchnorm_layers

    normalisations = batchnorm_layers(network)
    weights = {id(parameter) for parameter in weights_of(network).values()}
    listed = [
        (tensor, _entry(name, tensor, id(tensor) in weights))
        for name, tensor in network.state_dict(keep_vars=True).items()
    ]
    entries: list[Entry] = []
    first_names: dict[int, str] = {}
    done: set[str] = set()
    for tensor, entry in listed:
        name = entry.name
        layer = name.rpartition(".")[0]
        if layer in normalisations:
            if layer not in done:
                done.add(layer)
                eps = repr(normalisations[layer].eps)
                entries.append(Entry("batchnorm", layer, (normalisations[layer].num_features,), eps))
            continue
        if id(tensor) in first_names:
            entries.append(Entry("tied", name, tuple(tensor.shape), first_names[id(tensor)]))
            continue
        first_names[id(tensor)] = name
        entries.append(entry)
    return Layout(tuple(entries))


def _entry(name: str, tensor: Tensor, is_weight: bool) -> Entry:
    from torch import nn

    shape = tuple(tensor.shape)
    if isinstance(tensor, nn.Parameter) and tensor.is_floating_point():
        return Entry("weight" if is_weight else "vector", name, shape)
    if tensor.is_complex():
        raise TaskError(f"parameter {name!r} has complex values; only real networks can be coded")
    dtype = "float32" if tensor.is_floating_point() else str(tensor.dtype).removeprefix("torch.")
    return Entry("buffer", name, shape, dtype)
