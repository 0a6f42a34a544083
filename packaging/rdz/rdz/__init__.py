"""Reads ``.rdz`` files, the compressed neural networks that rdsearch writes, into NumPy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rdz.coding.networkfile import NetworkFile, Summary, decode_file, summarise
from rdz.coding.registered import stored_layout
from rdz.errors import FileFormatError, UnknownNameError

__all__ = ["FileFormatError", "UnknownNameError", "load", "load_tensors", "read", "summary"]


def load(path: str | Path) -> dict[str, np.ndarray]:
    """The network in a file: its state dict, float32 values, and buffers as they are.

    Raises:
        FileFormatError: The file is damaged, of another version, or of a network that is not known here.
        OSError: The file cannot be read.
    """
    return read(path).state_dict()


def load_tensors(path: str | Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Single tensors of the network in a file, without decoding all of it.

    Raises:
        UnknownNameError: The network has no tensor of a name; others as for `load`.
    """
    state = decode_file(Path(path).read_bytes(), stored_layout, names).state_dict()
    return {name: state[name] for name in names}


def read(path: str | Path) -> NetworkFile:
    """The network in a file as whole numbers and steps; errors as for `load`."""
    return decode_file(Path(path).read_bytes(), stored_layout)


def summary(path: str | Path) -> Summary:
    """What is in a file, without decoding its levels; errors as for `load`."""
    return summarise(Path(path).read_bytes(), stored_layout)
