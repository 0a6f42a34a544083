"""What weights are multiplied with, as rows of numbers: one for each position of the outputs."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

POSITIONS = 2**15
"""Output positions that moments are taken over, about, in one call: more are thinned out to these."""
_PARTS = 32
_ORDERS = 8
"""Orders of windows that are kept, some megabytes each: the parts of one batch have few."""
_FEW = 4
"""Fewer examples are not worth an order, which takes twice the memory of one example's windows."""


@dataclass(frozen=True)
class Rows:
    """Inputs of a product of matrices.

    Attributes:
        inputs: (groups, positions, columns), or (1, positions, columns) where all groups have the same.
    """

    inputs: Tensor

    def __len__(self) -> int:
        return self.inputs.shape[1]

    def thinning(self, share: float = 1.0) -> int:
        """Of how many positions one is taken, given a share of all inputs."""
        return max(1, int(len(self) / share / POSITIONS))

    def columns(self, part: slice, every: int = 1, first: int = 0) -> Tensor:
        """Some of the rows, (groups or 1, positions, columns), float32: one of ``every``, from ``first`` on."""
        rows = self.inputs[:, part]
        return rows[:, first % min(every, max(1, rows.shape[1])) :: every].float()


@dataclass(frozen=True)
class Windows:
    """Inputs of a convolution.

    Attributes:
        inputs: (batch, channels, ...).
        kernel: Taps along each spatial axis; so with what follows.
        stride: Between windows.
        padding: Zeros before and after; fewer than none cut off.
        dilation: Between taps.
        groups: Of channels.
        spread: Between inputs, with zeros in the gaps: the stride of a transposed convolution, whose taps are in the
            opposite order; 0 for a convolution.
    """

    inputs: Tensor
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int
    spread: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    def thinning(self, share: float = 1.0) -> int:
        """Of how many positions along each spatial axis one is taken, given a share of all inputs."""
        total = len(self.inputs) / share
        for axis, taps in enumerate(self.kernel):
            size = self.inputs.shape[2 + axis]
            size = (size - 1) * self.spread[axis] + 1 if self.spread else size
            reach = (taps - 1) * self.dilation[axis] + 1
            total *= max(1, (size + sum(self.padding[axis]) - reach) // self.stride[axis] + 1)
        every = max(1, int((total / POSITIONS) ** (1 / len(self.kernel))))
        # A step in common with the gaps would see the same taps all the time.
        while any(math.gcd(every, gap) > 1 for gap in self.spread):
            every += 1
        return every

    def columns(self, part: slice, every: int = 1, first: int = 0) -> Tensor:
        """The inputs of output positions.

        Args:
            part: Of the batch.
            every: Take only every so many positions along each spatial axis of the outputs.
            first: From this one on, modulo ``every``.

        Returns:
            (groups, positions, columns), float32: the columns are channels by taps.
        """
        inputs = _spread(self.inputs[part].float(), self.spread)
        padded = F.pad(inputs, [side for pair in reversed(self.padding) for side in pair])
        starts = tuple(
            first % min(every, max(1, (size - (taps - 1) * dilation - 1) // stride + 1))
            for size, taps, stride, dilation in zip(
                padded.shape[2:], self.kernel, self.stride, self.dilation, strict=True
            )
        )
        shape = _Geometry(self.kernel, self.stride, self.dilation, self.groups, bool(self.spread), every, starts)
        if math.prod(self.kernel) == 1 or len(padded) < _FEW:
            return shape.windows(padded)
        # Several times as fast as copying the windows, whose rows are a few numbers long: where an example's numbers go
        # is the same for every example.
        order = _order(shape, tuple(padded.shape[1:]), padded.device)
        columns = order.shape[-1]
        taken = padded.flatten(1).index_select(1, order.flatten())
        return taken.view(len(padded), self.groups, -1, columns).transpose(0, 1).reshape(self.groups, -1, columns)


@dataclass(frozen=True)
class _Geometry:
    """How windows lie in padded inputs, see `Windows`; ``flipped`` are taps in the opposite order."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    flipped: bool
    every: int
    starts: tuple[int, ...]

    def windows(self, padded: Tensor) -> Tensor:
        """(groups, positions, columns) of inputs (batch, channels, ...): the columns are channels by taps."""
        windows, dimensions = padded, len(self.kernel)
        for axis in range(2, 2 + dimensions):
            dilation = self.dilation[axis - 2]
            reach = (self.kernel[axis - 2] - 1) * dilation + 1
            windows = windows.unfold(axis, reach, self.stride[axis - 2])[..., ::dilation]
            windows = windows[(slice(None),) * axis + (slice(self.starts[axis - 2], None, self.every),)]
        if self.flipped:
            windows = windows.flip(list(range(2 + dimensions, 2 + 2 * dimensions)))
        # (batch, group, channels, positions..., taps...) to (group, batch, positions..., channels, taps...)
        split = windows.reshape(len(windows), self.groups, -1, *windows.shape[2:])
        order = [1, 0, *range(3, 3 + dimensions), 2, *range(3 + dimensions, 3 + 2 * dimensions)]
        columns = padded.shape[1] // self.groups * math.prod(self.kernel)
        return split.permute(order).reshape(self.groups, -1, columns)


@lru_cache(maxsize=_ORDERS)
def _order(geometry: _Geometry, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """(groups, positions, columns): where in an example of this shape, flattened, the numbers of its windows are."""
    return geometry.windows(torch.arange(math.prod(shape), device=device).view(1, *shape))


Given: TypeAlias = Rows | Windows


def _spread(inputs: Tensor, gaps: tuple[int, ...]) -> Tensor:
    """Inputs with zeros between them."""
    for axis, gap in enumerate(gaps, start=2):
        if gap > 1:
            size = inputs.shape[axis]
            wide = inputs.new_zeros(*inputs.shape[:axis], (size - 1) * gap + 1, *inputs.shape[axis + 1 :])
            wide[(slice(None),) * axis + (slice(None, None, gap),)] = inputs
            inputs = wide
    return inputs


def parts(count: int) -> Iterator[tuple[slice, int]]:
    """So many examples or positions in parts, each with its first position, one further than that of the last."""
    size = max(1, -(-count // _PARTS))
    for number, start in enumerate(range(0, count, size)):
        yield slice(start, start + size), number


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
