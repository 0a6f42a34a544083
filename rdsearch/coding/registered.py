"""Layouts of registered networks, stored, so that a file of one can be read without making the network."""

from __future__ import annotations

from pathlib import Path

from rdsearch.coding.layout import Layout
from rdsearch.errors import FileFormatError, UnknownNameError

LAYOUTS = Path(__file__).parent / "layouts"
"""One file a network that has a name, with its default options: the JSON text that the fingerprint is of."""


NUMBERED = (
    "digits_cnn",
    "lenet300",
    "lenet5_caffe",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "vgg16",
    "resnet18",
    "densenet121",
    "efficientnet_b0",
)
"""Names for which a file has a number, their place here: new ones are put behind the others."""
_FIRST_LETTER = 32
"""Names begin with none of the characters below it, which are the numbers."""


def encode_id(network_id: str) -> bytes:
    """A network's id, with a number for a name that has one."""
    name, *options = network_id.partition("?")
    return (bytes([NUMBERED.index(name)]) if name in NUMBERED else name.encode()) + "".join(options).encode()


def decode_id(data: bytes) -> str:
    """Read what `encode_id` wrote.

    Raises:
        FileFormatError: A number has no name.
    """
    if not data or data[0] >= _FIRST_LETTER:
        return data.decode(errors="replace")
    if data[0] >= len(NUMBERED):
        raise FileFormatError(f"the file is of network number {data[0]}; install a newer rdsearch, which knows it")
    return NUMBERED[data[0]] + data[1:].decode(errors="replace")


def stored_layout(network_id: str) -> Layout:
    """The layout of a registered network with its default options.

    Raises:
        UnknownNameError: None is stored under this id.
    """
    path = LAYOUTS / f"{network_id}.json"
    if not (network_id.isidentifier() and path.is_file()):
        raise UnknownNameError("rdsearch has to be installed to read files of networks with options or of torchvision")
    return Layout.from_json(path.read_bytes())
