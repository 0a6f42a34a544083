"""What other packages add: entry points of their distributions, read when a name is asked for and not before."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rdsearch.errors import PluginError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

PREFIX = "rdsearch."
"""Groups of entry points are called ``rdsearch.networks``, ``rdsearch.datasets`` and so on."""


@dataclass(frozen=True)
class Plugin:
    """A name that another package adds.

    Attributes:
        kind: What it is, in one noun.
        name: As search files have it.
        package: The distribution that adds it.
        version: Its version.
        point: Where the function is.
    """

    kind: str
    name: str
    package: str
    version: str
    point: EntryPoint

    def load(self) -> Any:
        """Import the function.

        Raises:
            PluginError: It cannot be imported, or is none.
        """
        try:
            found = self.point.load()
        except Exception as error:  # whatever the package's own modules raise
            raise PluginError(
                f"{self} cannot be imported from {self.point.value}: {type(error).__name__}: {error}"
            ) from error
        if not callable(found):
            raise PluginError(f"{self}: {self.point.value} is a {type(found).__name__}: a function is needed")
        return found

    def __str__(self) -> str:
        return f"the {self.kind} {self.name!r} of the package {self.package} {self.version}"


def installed(group: str, kind: str) -> dict[str, tuple[Plugin, ...]]:
    """Names that packages add to a group, each with all the packages that claim it.

    Args:
        group: Such as ``rdsearch.networks``.
        kind: What an entry is, in one noun.
    """
    found: dict[str, tuple[Plugin, ...]] = {}
    for point in sorted(_read(tuple(sys.path)).get(group, ()), key=lambda point: (point.name, _package(point))):
        version = point.dist.version if point.dist is not None else "of no known version"
        plugin = Plugin(kind, point.name, _package(point), version, point)
        found[point.name] = (*found.get(point.name, ()), plugin)
    return found


def packages() -> dict[str, str]:
    """Packages that add anything, with their versions."""
    points = [point for group in _read(tuple(sys.path)).values() for point in group if point.dist is not None]
    return {_package(point): point.dist.version for point in points if point.dist is not None}


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module


@lru_cache(maxsize=4)
def _read(path: tuple[str, ...]) -> Mapping[str, tuple[EntryPoint, ...]]:
    """The groups of entry points that are rdsearch's. Every installed package is looked at, once in a process."""
    from importlib.metadata import entry_points

    found = entry_points()
    return {group: tuple(found.select(group=group)) for group in found.groups if group.startswith(PREFIX)}
