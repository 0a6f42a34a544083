"""Layouts of registered networks, stored, so that a file of one can be read without making the network."""

from __future__ import annotations

from pathlib import Path

from rdsearch.coding.layout import Layout
from rdsearch.errors import UnknownNameError

LAYOUTS = Path(__file__).parent / "layouts"
"""One file a network that has a name, with its default options: the JSON text that the fingerprint is of."""


def stored_layout(network_id: str) -> Layout:
    """The layout of a registered network with its default options.

    Raises:
        UnknownNameError: None is stored under this id.
    """
    path = LAYOUTS / f"{network_id}.json"
    if not (network_id.isidentifier() and path.is_file()):
        raise UnknownNameError("rdsearch has to be installed to read files of networks with options or of torchvision")
    return Layout.from_json(path.read_bytes())
