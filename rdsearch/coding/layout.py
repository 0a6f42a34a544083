"""The layout of a network: which tensors it has, in which order, and how each is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from math import prod
from typing import Any, Literal, get_args

from rdsearch.errors import FileFormatError, UnknownNameError

Kind = Literal["weight", "vector", "batchnorm", "buffer", "tied"]
_KINDS: tuple[str, ...] = get_args(Kind)
_MAX_DIMENSIONS = 32
MAX_EXTENT = 2**48
"""Of a shape without its zeros: NumPy makes no array beyond what it could address, not even an empty one."""
_BATCHNORM_TENSORS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a layout.

    Attributes:
        kind: ``weight``: two or more dimensions, coded as levels; ``vector``: a bias or another small parameter,
            coded as levels; ``batchnorm``: a layer's scale and shift, coded as levels; ``buffer``: stored as it is;
            ``tied``: the same tensor as an earlier one.
        name: Name in the state dict; the layer's name for ``batchnorm``.
        shape: Shape of the tensor; (channels,) for ``batchnorm``.
        note: NumPy dtype name of a ``buffer``; name of the earlier tensor of a ``tied`` one; ``eps`` of a
            ``batchnorm``.
    """

    kind: Kind
    name: str
    shape: tuple[int, ...]
    note: str = ""

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)

    def tensors(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of each tensor of the state dict that this entry stands for."""
        if self.kind != "batchnorm":
            return [(self.name, self.shape)]
        *vectors, count = _BATCHNORM_TENSORS
        return [(f"{self.name}.{part}", self.shape) for part in vectors] + [(f"{self.name}.{count}", ())]


@dataclass(frozen=True, slots=True)
class Layout:
    """The tensors of a network in the order in which a file stores them."""

    entries: tuple[Entry, ...]

    def of(self, kind: Kind) -> Iterator[Entry]:
        """The entries of one kind, in order."""
        return (entry for entry in self.entries if entry.kind == kind)

    @property
    def weight_count(self) -> int:
        """Number of values in all ``weight`` tensors."""
        return sum(entry.size for entry in self.of("weight"))

    def to_json(self) -> bytes:
        """A compact form, the same for equal layouts."""
        rows = [[entry.kind, entry.name, list(entry.shape), entry.note] for entry in self.entries]
        return json.dumps(rows, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Layout:
        """Read `to_json`'s form.

        Raises:
            FileFormatError: It is not such a form.
        """
        try:
            rows = json.loads(text)
            entries = tuple(_entry(row) for row in rows)
        except (ValueError, TypeError, RecursionError) as error:
            raise FileFormatError(f"the list of tensors in the file is damaged: {error}") from None
        _check_consistent(entries)
        return cls(entries)

    def fingerprint(self) -> bytes:
        """2 bytes that differ between layouts, but for one in 65536 (BLAKE2b of the compact form)."""
        return hashlib.blake2b(self.to_json(), digest_size=2).digest()


def part_of(layout: Layout, names: Collection[str]) -> Layout:
    """The entries that hold tensors of these names, and those that they are tied to.

    Raises:
        UnknownNameError: The layout does not have one of them.
    """
    holders = {name: entry for entry in layout.entries for name, _ in entry.tensors()}
    if unknown := [name for name in names if name not in holders]:
        close = get_close_matches(unknown[0], holders, 1) or list(holders)[:1]
        raise UnknownNameError(
            f"the network has no tensor {unknown[0]!r}"
            + (f"; did you mean {close[0]!r}? `rdsearch info` lists the weights" if close else ": it has none")
        )
    needed: set[Entry] = set()
    for name in names:
        entry = holders[name]
        needed.add(entry)
        while entry.kind == "tied":  # to a tensor before it, which may be tied itself
            entry = holders[entry.note]
            needed.add(entry)
    return Layout(tuple(entry for entry in layout.entries if entry in needed))


def _entry(row: Any) -> Entry:
    kind, name, shape, note = row
    if kind not in _KINDS or not isinstance(name, str) or not isinstance(note, str):
        raise ValueError(f"unknown entry {str(row)[:80]}")
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS or not all(map(_is_size, shape)):
        raise ValueError(f"impossible shape {str(shape)[:80]}")
    if prod(size or 1 for size in shape) > MAX_EXTENT:
        raise ValueError(f"impossible shape {str(shape)[:80]}")
    return Entry(kind, name, tuple(shape), note)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_EXTENT


def _check_consistent(entries: tuple[Entry, ...]) -> None:
    """Raise `FileFormatError` where entries do not fit together: nothing after this has to doubt them."""
    shapes: dict[str, tuple[int, ...]] = {}
    for entry in entries:
        if entry.kind == "tied" and shapes.get(entry.note) != entry.shape:
            raise FileFormatError(f"tensor {entry.name!r} is tied to {entry.note!r}, which does not fit it")
        if entry.kind == "batchnorm" and (len(entry.shape) != 1 or not _is_epsilon(entry.note)):
            raise FileFormatError(f"normalisation {entry.name!r} has an impossible form; the file is damaged")
        for name, shape in entry.tensors():
            if name in shapes:
                raise FileFormatError(f"the file lists tensor {name!r} twice; it is damaged")
            shapes[name] = shape


def _is_epsilon(text: str) -> bool:
    try:
        return 0.0 <= float(text) < 1.0
    except ValueError:
        return False
