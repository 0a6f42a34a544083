"""Names to things, imported only when asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from rdsearch.base.plugins import Plugin, installed
from rdsearch.errors import PluginError, UnknownNameError

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
    """A table of names whose entries are ``"module:attribute"`` paths, and what other packages add to it.

    The names can be listed and checked without importing what they stand for, so that a search file is
    validated without loading torch. Other packages are looked at when a name is checked or the names are listed.

    Args:
        kind: What an entry is, in one noun, for messages (``"network"``).
        entries: Name to ``"module:attribute"``.
        group: Entry points by which other packages add names (``"rdsearch.networks"``); none can where not given.
    """

    def __init__(self, kind: str, entries: Mapping[str, str], group: str | None = None) -> None:
        self.kind = kind
        self.group = group
        self._entries = dict(entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._added()

    def __iter__(self) -> Iterator[str]:
        yield from self._entries
        yield from (name for name in self._added() if name not in self._entries)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def is_own(self, name: str) -> bool:
        """Whether ``name`` is rdsearch's and not another package's."""
        return name in self._entries

    def check(self, name: str) -> str:
        """Return ``name`` if it is registered.

        Raises:
            UnknownNameError: It is not; the message lists what is.
            PluginError: More than one package claims it.
        """
        claims = self._added().get(name, ())
        if len(claims) + self.is_own(name) > 1:
            others = [f"{plugin.package} {plugin.version}" for plugin in claims]
            named = " and ".join(["rdsearch itself", *others] if self.is_own(name) else others)
            raise PluginError(
                f"the {self.kind} {name!r} is claimed by {named}: uninstall one, or rename its entry point"
            )
        if not claims and not self.is_own(name):
            raise UnknownNameError(f"unknown {self.kind} {name!r}{among(name, self)}")
        return name

    def load(self, name: str) -> T:
        """Import and return the entry called ``name``.

        Raises:
            UnknownNameError: No entry has this name.
            PluginError: More than one package claims it, or the one that does cannot be imported.
        """
        if not self.is_own(name):
            (plugin,) = self._added()[self.check(name)]
            added: T = plugin.load()
            return added
        module, _, attribute = self._entries[name].partition(":")
        entry: T = getattr(importlib.import_module(module), attribute)
        return entry

    def _added(self) -> Mapping[str, tuple[Plugin, ...]]:
        return {} if self.group is None else installed(self.group, self.kind)
