"""Names to things, imported only when asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from rdsearch.errors import UnknownNameError

T = TypeVar("T")

SHORTEST_START = 3
"""Letters of a name from which it is taken for the start of a longer one."""


def suggest(name: str, known: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the known name nearest to ``name``, or nothing when none is near.

    A name that goes on where ``name`` ends is nearer than one that is spelt alike.
    """
    names = list(known)
    longer = [each for each in names if len(name) >= SHORTEST_START and each.startswith(name)]
    near = longer or difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def among(name: str, known: Iterable[str], lead: str = "known are") -> str:
    """The end of a message about a name that is none of those known: the nearest one first, then all of them.

    ``". Did you mean 'digits'? Known are digits, mnist."``, or ``": known are digits, mnist."`` where none is near.
    """
    names = list(known)
    near = suggest(name, names)
    listed = f"{lead} {', '.join(names)}."
    return f".{near} {listed[0].upper()}{listed[1:]}" if near else f": {listed}"


class Registry(Generic[T]):
    """A table of names whose entries are ``"module:attribute"`` paths.

    The names can be listed and checked without importing what they stand for, so that a search file is
    validated without loading torch.

    Args:
        kind: What an entry is, in one noun, for messages (``"network"``).
        entries: Name to ``"module:attribute"``.
    """

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def check(self, name: str) -> str:
        """Return ``name`` if it is registered.

        Raises:
            UnknownNameError: It is not; the message lists what is.
        """
        if name not in self._entries:
            raise UnknownNameError(f"unknown {self.kind} {name!r}{among(name, self)}")
        return name

    def load(self, name: str) -> T:
        """Import and return the entry called ``name``.

        Raises:
            UnknownNameError: No entry has this name.
        """
        module, _, attribute = self._entries[self.check(name)].partition(":")
        entry: T = getattr(importlib.import_module(module), attribute)
        return entry
