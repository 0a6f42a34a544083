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
        repeat: Adjacent entries for each channel: more than 1 where a layer reads flattened feature maps, and for the
            heads of attention.
        start: The first channel's first entry: not 0 for the channels inside a head.
        blocks: So many times the channels follow each other: more than 1 for the gates of a recurrent layer.
        stride: Entries from one block to the next.
    """

    tensor: str
    axis: int
    repeat: int = 1
    start: int = 0
    blocks: int = 1
    stride: int = 0

    @property
    def plain(self) -> bool:
        """Whether the axis carries these channels once, and nothing else."""
        return self.start == 0 and self.blocks == 1 and self.stride == 0

    def entries(self, channels: Sequence[int] | Tensor) -> Tensor:
        """Indices along the axis of these channels, in their order: (blocks * len(channels) * repeat,), int64."""
        chosen = torch.as_tensor(channels, dtype=torch.int64)
        blocks = torch.arange(self.blocks, device=chosen.device)[:, None, None] * self.stride
        inside = torch.arange(self.repeat, device=chosen.device)
        return (self.start + blocks + chosen[:, None] * self.repeat + inside).reshape(-1)

    def taken(self, tensor: Tensor, channels: Sequence[int] | Tensor) -> Tensor:
        """A tensor with these channels alone, in this order; of a plain axis."""
        return tensor.index_select(self.axis, self.entries(channels).to(tensor.device))

    def order(self, order: Tensor, size: int) -> Tensor:
        """Indices of all ``size`` entries of the axis with the channels in another order: (size,), int64."""
        whole = torch.arange(size)
        whole[self.entries(torch.arange(len(order)))] = self.entries(order.cpu())
        return whole

    def permuted(self, tensor: Tensor, order: Tensor) -> Tensor:
        """A tensor with all channels in another order, and all else where it was."""
        return tensor.index_select(self.axis, self.order(order, tensor.shape[self.axis]).to(tensor.device))


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

    @property
    def removable(self) -> bool:
        """Whether channels can be cut out; heads of attention, what is inside them and recurrent units cannot."""
        return all(axis.plain for axis in self.axes)


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
        self._zeros: set[int] = set()
        self._stacks: dict[int, list[Group]] = {}
        self._carried: dict[tuple[str, int], Place] = {}
        self._parts: dict[Axis, Place] = {}
        self._forms: dict[tuple[str, int], str] = {}
        self._used_otherwise: set[str] = set()
        self._groups: list[Group] = []

    def knows(self, tensor: Tensor) -> bool:
        """Whether a tensor is the network's own, or carries channels."""
        return id(tensor) in self._names or id(tensor) in self._places or id(tensor) in self._stacks

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
        for group in [*([place.group] if place else []), *self._stacks.get(id(tensor), [])]:
            group.root().whole = False
        if id(tensor) in self._names:
            self._used_otherwise.add(self._names[id(tensor)])

    def stack(self, tensor: Tensor, groups: Sequence[Group]) -> bool:
        """Note that a call's result has these groups' channels one behind the other: alone it is a place of none."""
        self._stacks[id(tensor)] = list(groups)
        return True

    def stacked(self, tensor: Tensor) -> Sequence[Group]:
        """The groups that a tensor has one behind the other."""
        return self._stacks.get(id(tensor), ())

    def note_zeros(self, tensor: Tensor) -> None:
        """Note that the network has made a tensor of zeros itself."""
        self._zeros.add(id(tensor))

    def zero(self, tensor: Tensor) -> bool:
        """Whether a tensor is one that the network has made of zeros, and still is zero: no input of the network."""
        return id(tensor) in self._zeros and not tensor.any()

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
        joined = self._used(name, axis, "") and self.join(self._carried.setdefault((name, axis), here), here)
        root = group.root()
        (root.read if read else root.written)[Axis(name, axis, repeat)] = None
        return joined

    def carry_part(
        self,
        group: Group,
        tensor: Tensor | None,
        axis: int,
        form: str,
        *,
        repeat: int = 1,
        start: int = 0,
        blocks: int = 1,
        read: bool = False,
    ) -> bool:
        """Let a tensor of the network carry a group's channels in a part of an axis, or several times (see `Axis`).

        ``form`` is how the axis is shared out: one that is used in another form, too, is left out.
        """
        if tensor is None:
            return True
        name = self._names.get(id(tensor))
        if name is None or not self._used(name, axis, form):
            group.root().whole = False
            return False
        here = Axis(name, axis, repeat, start, blocks, group.count * repeat)
        joined = self.join(self._parts.setdefault(here, Place(group, axis, repeat)), Place(group, axis, repeat))
        root = group.root()
        (root.read if read else root.written)[here] = None
        return joined

    def _used(self, name: str, axis: int, form: str) -> bool:
        """Whether an axis has not been used in another form; where it has, all that it carries is left out."""
        if self._forms.setdefault((name, axis), form) == form:
            return True
        self._used_otherwise.add(name)
        return False

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
        carried = [(name, place) for (name, _), place in self._carried.items()]
        for name, place in [*carried, *((axis.tensor, place) for axis, place in self._parts.items())]:
            if name in self._used_otherwise:
                place.group.root().whole = False
        return [
            Channels(group.count, tuple(group.written), tuple(group.read))
            for group in self._groups
            if group.into is None and group.whole and group.count > 1 and group.written and group.read
        ]
