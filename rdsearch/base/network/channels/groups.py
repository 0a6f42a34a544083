"""Channels that belong together, and what is known of them while a network is watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Axis:
    """Where a tensor of the state dict carries channels.

    Attributes:
        tensor: Its name; of tied tensors the first.
        axis: Along which axis.
        repeat: Adjacent entries for each channel: more than 1 where a layer reads flattened feature maps.
    """

    tensor: str
    axis: int
    repeat: int = 1

    def entries(self, channels: Sequence[int] | Tensor) -> Tensor:
        """Indices along the axis of these channels, in their order: (len(channels) * repeat,), int64."""
        chosen = torch.as_tensor(channels, dtype=torch.int64)
        return (chosen[:, None] * self.repeat + torch.arange(self.repeat, device=chosen.device)).reshape(-1)

    def taken(self, tensor: Tensor, channels: Sequence[int] | Tensor) -> Tensor:
        """A tensor with these channels alone, in this order."""
        return tensor.index_select(self.axis, self.entries(channels).to(tensor.device))


@dataclass(frozen=True, slots=True)
class Channels:
    """A set of joined hidden channels: the network stays the same function if all these axes are permuted alike.

    Attributes:
        count: Channels.
        written: Axes on the side that makes the channels: rows of weights, biases, what normalises them.
        read: Axes on the side that reads them: columns of weights.
    """

    count: int
    written: tuple[Axis, ...]
    read: tuple[Axis, ...]

    @property
    def axes(self) -> tuple[Axis, ...]:
        """All of them."""
        return self.written + self.read


@dataclass(eq=False)
class Group:
    """Channels that are joined as far as has been seen; not ``whole`` where something else depends on their order."""

    count: int
    whole: bool = True
    written: dict[Axis, None] = field(default_factory=dict)
    read: dict[Axis, None] = field(default_factory=dict)
    into: Group | None = None

    def root(self) -> Group:
        """The group that this one has become part of."""
        group = self
        while group.into is not None:
            group = group.into
        return group


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor carries a group's channels: `repeat` adjacent entries each, along `axis`."""

    group: Group
    axis: int
    repeat: int


class Groups:
    """What is known of channels.

    Args:
        names: Name of each tensor of the network, by its id.
    """

    def __init__(self, names: dict[int, str]) -> None:
        self._names = names
        self._places: dict[int, Place] = {}
        self._carried: dict[tuple[str, int], Place] = {}
        self._used_otherwise: set[str] = set()
        self._groups: list[Group] = []

    def knows(self, tensor: Tensor) -> bool:
        """Whether a tensor is the network's own, or carries channels."""
        return id(tensor) in self._names or id(tensor) in self._places

    def place(self, tensor: object) -> Place | None:
        """Where a tensor carries channels, if it does."""
        return self._places.get(id(tensor))

    def put(self, tensor: Tensor, place: Place) -> bool:
        """Note where a call's result carries channels."""
        self._places[id(tensor)] = place
        return True

    def leave_out(self, tensor: Tensor) -> None:
        """Leave out the channels that a tensor carries, now or later."""
        place = self._places.get(id(tensor))
        if place is not None:
            place.group.root().whole = False
        if id(tensor) in self._names:
            self._used_otherwise.add(self._names[id(tensor)])

    def new(self, count: int, *, whole: bool = True) -> Group:
        """A group of channels that a layer makes or, not ``whole``, reads as they are."""
        self._groups.append(Group(count, whole))
        return self._groups[-1]

    def carry(self, group: Group, tensor: Tensor | None, axis: int, repeat: int = 1, *, read: bool = False) -> bool:
        """Let a tensor of the network carry a group's channels along an axis; no tensor carries nothing."""
        if tensor is None:
            return True
        name = self._names.get(id(tensor))
        if name is None or tensor.shape[axis] != group.count * repeat:
            group.root().whole = False
            return False
        here = Place(group, axis, repeat)
        joined = self.join(self._carried.setdefault((name, axis), here), here)
        root = group.root()
        (root.read if read else root.written)[Axis(name, axis, repeat)] = None
        return joined

    def join(self, first: Place, second: Place) -> bool:
        """Make one group of two."""
        a, b = first.group.root(), second.group.root()
        if a is b and first.repeat == second.repeat:
            return True
        if a.count != b.count or first.repeat != second.repeat:
            a.whole = b.whole = False
            return False
        a, b = sorted((a, b), key=self._groups.index)
        a.written |= b.written
        a.read |= b.read
        a.whole &= b.whole
        b.into = a
        return True

    def found(self) -> list[Channels]:
        """The sets of joined channels that nothing unknown depends on, in the order in which they were made."""
        for (name, _), place in self._carried.items():
            if name in self._used_otherwise:
                place.group.root().whole = False
        return [
            Channels(group.count, tuple(group.written), tuple(group.read))
            for group in self._groups
            if group.into is None and group.whole and group.count > 1 and group.written and group.read
        ]
