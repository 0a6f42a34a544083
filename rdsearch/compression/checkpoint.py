"""What a trial needs to go on after a round."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from rdsearch.tasks.weights.state import to_numpy

_DIGEST = "sha256"
_LENGTH = 8
"""Bytes before a safetensors header, which say how long it is."""


@dataclass(frozen=True)
class Checkpoint:
    """What a trial needs to go on after a round.

    Attributes:
        round: The last round that is done.
        state: The float network's state dict, as numpy arrays.
        masks: Survivors of each prunable weight, boolean arrays of its shape.
    """

    round: int
    state: Mapping[str, np.ndarray]
    masks: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, network: nn.Module, masks: Mapping[str, Tensor], round_: int) -> Checkpoint:
        """A copy of a network's state and masks: on a CPU, .numpy() shares memory with what the next round changes."""
        return cls(
            round_,
            to_numpy(network.state_dict()),
            {name: np.array(mask.cpu().numpy()) for name, mask in masks.items()},
        )

    def to_bytes(self) -> bytes:
        """The checkpoint as ``.safetensors``, masks at one bit a weight."""
        from safetensors.numpy import save

        packed = {f"mask.{name}": np.packbits(mask) for name, mask in self.masks.items()}
        state = {f"state.{name}": np.asarray(array, order="C") for name, array in self.state.items()}
        tensors = state | packed
        # One entry alone: safetensors writes several in an order that changes from call to call.
        return save(tensors, metadata={_DIGEST: _digest(tensors, self.round)})

    @classmethod
    def from_bytes(cls, data: bytes, round_: int) -> Checkpoint:
        """Read `to_bytes`'s form; ``round_`` is the round that it was taken after.

        Raises:
            ValueError: The bytes are damaged, or of another round.
        """
        from safetensors.numpy import load

        tensors = load(data)
        header = json.loads(data[_LENGTH : _LENGTH + int.from_bytes(data[:_LENGTH], "little")])
        if header.get("__metadata__", {}).get(_DIGEST) != _digest(tensors, round_):
            raise ValueError("its checksum does not fit its content")
        state = {name.removeprefix("state."): array for name, array in tensors.items() if name.startswith("state.")}
        masks = {
            name: _unpacked(tensors[f"mask.{name}"], state[name].shape) for name in state if f"mask.{name}" in tensors
        }
        return cls(round_, state, masks)


def _digest(tensors: Mapping[str, np.ndarray], round_: int) -> str:
    """SHA-256 of names, kinds, shapes and values, whatever their order, and of the round."""
    digest = hashlib.sha256(str(round_).encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _unpacked(bits: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.unpackbits(bits, count=int(np.prod(shape, dtype=np.int64))).reshape(shape).astype(bool)
