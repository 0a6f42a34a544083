"""Channels that died are cut out of the network while it trains, and put back for the file.

A channel is dead once every weight that makes it, or every weight that reads it, is zero, and goes when it still is so
at the next look: zeros may come back. Smaller tensors make every
step faster. Where the outputs after the cut are not those of the network with zeros in these places, as with a layer
normalisation or a forward pass that knows its sizes, the channels stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rdsearch.base.network.channels import Axis, Channels, joined_channels
from rdsearch.base.network.modes import outputs_of

_TOLERANCE = 1e-3
"""Of the largest output: sums in another order are not the same to the last bit."""


class Left:
    """What cuts leave of a network's tensors."""

    def __init__(self) -> None:
        self._cuts: list[tuple[Channels, Tensor]] = []

    def __bool__(self) -> bool:
        return bool(self._cuts)

    def add(self, channels: Channels, remaining: Tensor) -> None:
        """These of a set's channels are left."""
        self._cuts.append((channels, remaining))

    def taken(self, name: str, tensor: Tensor) -> Tensor:
        """What is left of a tensor, given its name in the state dict."""
        for channels, remaining in self._cuts:
            for axis in channels.axes:
                if axis.tensor == name:
                    tensor = axis.taken(tensor, remaining)
        return tensor


class Slices:
    """The joined channels of a network, and which of them are left.

    Args:
        network: Run once; not changed.
        inputs: A few examples on its device.

    Attributes:
        kept: Of each set, the channels that are left, by their numbers in the whole network.
    """

    def __init__(self, network: nn.Module, inputs: Any) -> None:
        self._inputs = inputs
        try:
            self._sets = [one for one in joined_channels(network, inputs) if one.removable]
        except Exception:  # of the network's own code: what cannot be watched stays whole
            self._sets = []
        self._refused: set[int] = set()
        self._dead: dict[int, Tensor] = {}
        self.kept = [torch.arange(channels.count) for channels in self._sets]

    def cut(self, network: nn.Module, alive: Mapping[str, Tensor]) -> Left | None:
        """Cut out the channels that are dead now and were so the last time.

        Args:
            network: Changed in place: its parameters and buffers become smaller.
            alive: Name of each weight in the state dict to where its levels are not zero: boolean.

        Returns:
            What is left of every tensor; ``None`` where nothing was cut.
        """
        left = Left()
        for number, channels in enumerate(self._sets):
            if number in self._refused:
                continue
            living = _alive(channels, {name: left.taken(name, mask) for name, mask in alive.items()})
            if living is None:
                continue
            before, self._dead[number] = self._dead.get(number), ~living
            living = living | ~before.to(living.device) if before is not None else torch.ones_like(living)
            if bool(living.all()):
                continue
            if not living.any():
                living[0] = True
            remaining = living.nonzero().squeeze(1)
            if len(remaining) == len(living):
                continue
            if self._cut_one(network, channels, remaining):
                self.kept[number] = self.kept[number][remaining.cpu()]
                self._dead[number] = self._dead[number][remaining]
                left.add(channels, remaining)
            else:
                self._refused.add(number)
        return left if left else None

    def state(self) -> dict[str, Any]:
        """What is left, and what was dead at the last look."""
        return {"kept": self.kept, "dead": self._dead}

    def restore(self, network: nn.Module, state: Mapping[str, Any]) -> Left:
        """Cut a whole network down to the channels that an earlier training had left; what is left of its tensors."""
        left, kept = Left(), [remaining.cpu() for remaining in state["kept"]]
        self._dead = dict(state["dead"])
        for number, (channels, remaining) in enumerate(zip(self._sets, kept, strict=True)):
            if len(remaining) < channels.count:
                _shrink(network, channels, remaining)
                left.add(channels, remaining)
            self.kept[number] = remaining
        return left

    def whole(self, name: str, part: Tensor, shape: tuple[int, ...]) -> Tensor:
        """A tensor of the whole network from that of the cut one: zeros where channels are gone.

        Args:
            name: In the state dict.
            part: Its values in the cut network.
            shape: In the whole network.
        """
        for channels, remaining in zip(self._sets, self.kept, strict=True):
            if len(remaining) == channels.count:
                continue
            for axis in channels.axes:
                if axis.tensor == name:
                    size = list(part.shape)
                    size[axis.axis] = shape[axis.axis]
                    full = part.new_zeros(size)
                    part = full.index_copy_(axis.axis, axis.entries(remaining).to(part.device), part)
        return part

    def _cut_one(self, network: nn.Module, channels: Channels, left: Tensor) -> bool:
        """Cut one set, if the outputs stay what they are with zeros in the channels' places."""
        before = {axis.tensor: _tensor(network, axis.tensor).detach().clone() for axis in channels.axes}
        gone = torch.ones(_count(network, channels), dtype=torch.bool, device=left.device)
        gone[left] = False
        with torch.no_grad():
            for axis in channels.axes:
                tensor = _tensor(network, axis.tensor)
                tensor.index_fill_(axis.axis, axis.entries(gone.nonzero().squeeze(1)).to(tensor.device), 0.0)
        expected = _outputs(network, self._inputs)
        changed = _shrink(network, channels, left)
        found = _outputs(network, self._inputs)
        if expected is not None and found is not None and _alike(expected, found):
            return True
        for module, attribute, value in changed:
            setattr(module, attribute, value)
        for name, value in before.items():
            _replace(network, name, value)
        return False


def _alive(channels: Channels, nonzero: Mapping[str, Tensor]) -> Tensor | None:
    """Which channels are made and read by weights that are not zero; ``None`` where that cannot be said."""
    sides = []
    for axes in (channels.written, channels.read):
        rows = [_any(axis, nonzero[axis.tensor]) for axis in axes if axis.tensor in nonzero]
        if not rows:
            return None
        sides.append(torch.stack(rows).any(0))
    return sides[0] & sides[1]


def _any(axis: Axis, nonzero: Tensor) -> Tensor:
    """Whether a channel has any weight that is not zero."""
    moved = nonzero.movedim(axis.axis, 0)
    return moved.reshape(len(moved) // axis.repeat, -1).any(1)


def _count(network: nn.Module, channels: Channels) -> int:
    axis = channels.written[0]
    return int(_tensor(network, axis.tensor).shape[axis.axis]) // axis.repeat


def _shrink(network: nn.Module, channels: Channels, left: Tensor) -> list[tuple[nn.Module, str, Any]]:
    """Cut one set; return what of the modules' own settings has changed, as it was."""
    changed: list[tuple[nn.Module, str, Any]] = []
    for axis in channels.axes:
        tensor = _tensor(network, axis.tensor).detach()
        _replace(network, axis.tensor, axis.taken(tensor, left))
        owner = network.get_submodule(axis.tensor.rpartition(".")[0])
        groups = getattr(owner, "groups", 1)
        if groups > 1 and axis in channels.written and tensor.dim() > 1 and axis.axis == 0:
            changed.append((owner, "groups", groups))
            setattr(owner, "groups", len(left))  # noqa: B010 - of a module whose kind is not known here
    return changed


def _tensor(network: nn.Module, name: str) -> Tensor:
    path, _, attribute = name.rpartition(".")
    tensor: Tensor = getattr(network.get_submodule(path), attribute)
    return tensor


def _replace(network: nn.Module, name: str, values: Tensor) -> None:
    tensor = _tensor(network, name)
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        values = values.contiguous(memory_format=torch.channels_last)
    tensor.grad = None
    tensor.data = values


def _outputs(network: nn.Module, inputs: Any) -> list[Tensor] | None:
    """What the network says in use; ``None`` where it cannot be run."""
    try:
        with torch.no_grad():
            return outputs_of(network, inputs)
    except Exception:  # a forward pass that knows its sizes
        return None


def _alike(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    return all(
        one.shape == other.shape
        and torch.allclose(one, other, rtol=0.0, atol=_TOLERANCE * float(one.abs().max().clamp_min(1e-6)))
        for one, other in zip(first, second, strict=True)
    )
