"""What layers are given; for convolutions and linear layers, what they multiply their weights with, as a matrix."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Layer: TypeAlias = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
TREATED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def layer_input(layer: nn.Module, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Tensor:
    """What a layer is given as its first parameter, from the positional and the keyword arguments of a call."""
    inputs: Tensor
    if arguments:
        inputs = arguments[0]
    elif len(named) == 1:
        (inputs,) = named.values()
    else:
        inputs = named[next(iter(inspect.signature(layer.forward).parameters))]
    return inputs


def on_input(layer: nn.Module, look: Callable[[Tensor], None]) -> RemovableHandle:
    """Have a function called with what the layer is given, before each call of the layer."""

    def hook(called: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        look(layer_input(called, arguments, named))

    return layer.register_forward_pre_hook(hook, with_kwargs=True)


def groups_of(layer: Layer) -> int:
    """Groups of output channels that share their inputs."""
    return 1 if isinstance(layer, nn.Linear) else layer.groups


def patches(layer: Layer, inputs: Tensor, every: int = 1, first: int = 0) -> Tensor:
    """The inputs of the output positions.

    Args:
        layer: The layer.
        inputs: (batch, channels, ...) for a convolution, (..., features) for a linear layer.
        every: Take only every so many positions along each spatial axis of a convolution's outputs.
        first: From this one on, modulo ``every``.

    Returns:
        (groups, positions, columns), float32: the columns are those of ``weight.flatten(1)``.
    """
    if isinstance(layer, nn.Linear):
        return inputs.reshape(1, -1, inputs.shape[-1]).float()
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    windows = F.pad(inputs.float(), layer._reversed_padding_repeated_twice, mode=mode)
    dimensions = len(layer.kernel_size)
    for axis in range(2, 2 + dimensions):
        dilation = layer.dilation[axis - 2]
        reach = (layer.kernel_size[axis - 2] - 1) * dilation + 1
        windows = windows.unfold(axis, reach, layer.stride[axis - 2])[..., ::dilation]
        windows = _some(windows, axis, every, first)
    # (batch, group, channels, positions..., taps...) to (group, batch, positions..., channels, taps...)
    split = windows.reshape(len(windows), layer.groups, -1, *windows.shape[2:])
    order = [1, 0, *range(3, 3 + dimensions), 2, *range(3 + dimensions, 3 + 2 * dimensions)]
    return split.permute(order).reshape(layer.groups, -1, layer.weight[0].numel())


def positions(layer: Layer, outputs: Tensor, every: int = 1, first: int = 0) -> Tensor:
    """A layer's outputs at the positions of `patches`: (groups, positions, rows of a group), float32."""
    if isinstance(layer, nn.Linear):
        return outputs.reshape(1, -1, outputs.shape[-1]).float()
    for axis in range(2, outputs.dim()):
        outputs = _some(outputs, axis, every, first)
    split = outputs.reshape(len(outputs), layer.groups, -1, math.prod(outputs.shape[2:]))
    return split.permute(1, 0, 3, 2).reshape(layer.groups, -1, split.shape[2]).float()


def _some(tensor: Tensor, axis: int, every: int, first: int) -> Tensor:
    """Every so many entries along an axis; at least one of them."""
    start = first % min(every, tensor.shape[axis])
    return tensor[(slice(None),) * axis + (slice(start, None, every),)]
