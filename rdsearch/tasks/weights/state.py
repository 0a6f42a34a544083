"""Weights as a flat table of numpy arrays, keyed and ordered like the network's ``state_dict``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.errors import TaskError
from rdsearch.tasks.weights.names import few

State = Mapping[str, np.ndarray]
"""Tensor name to read-only array. Floats are float32, whatever precision they were trained in; integers stay."""


class Stored(State):
    """Tensors as they are stored, in half precision or a mapped file, each an array while it is looked at.

    Args:
        tensors: By name; nobody else may write to them.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = {name: tensor.detach() for name, tensor in tensors.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        array = _as_array(self._tensors[name])
        array.flags.writeable = False
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __reduce__(self) -> tuple[type[dict[str, np.ndarray]], tuple[dict[str, np.ndarray]]]:
        # Arrays, which Ray's workers on one machine share, as they do not share tensors.
        return dict, (dict(self),)


def to_numpy(state: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Copy tensors into read-only arrays: float32 for every kind of float, the same dtype for integers."""
    arrays = {}
    for name, tensor in state.items():
        arrays[name] = _as_array(tensor.detach()).copy()
        arrays[name].flags.writeable = False
    return arrays


def _as_array(tensor: Tensor) -> np.ndarray:
    """A tensor's memory as an array, where nothing has to be converted."""
    kept = tensor.cpu()
    kept = kept.to(torch.float32) if kept.is_floating_point() else kept
    array: np.ndarray = kept.contiguous().numpy()
    return array


def load_state(network: nn.Module, state: Mapping[str, np.ndarray]) -> None:
    """Copy arrays into the network, which has to have exactly these names and shapes.

    Raises:
        TaskError: Names or shapes differ; the first few are named.
    """
    check_fit(state, network)
    own = network.state_dict()
    with torch.no_grad():
        for name, array in state.items():
            own[name].copy_(torch.from_numpy(np.array(array)))


def check_fit(state: Mapping[str, np.ndarray] | Mapping[str, Tensor], network: nn.Module) -> None:
    """Check that names and shapes are those of the network.

    Raises:
        TaskError: They are not; says which differ.
    """
    own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in state.items()}
    problems = []
    if missing := [name for name in own if name not in given]:
        problems.append(f"{few(missing)} missing")
    if foreign := [name for name in given if name not in own]:
        problems.append(f"{few(foreign)} unknown to the network")
    if shapes := [
        f"{name} is {given[name]} instead of {own[name]}" for name in own if name in given and given[name] != own[name]
    ]:
        problems.append(few(shapes))
    if problems:
        raise TaskError(f"the weights are those of another network: {'; '.join(problems)}")


def layout_fingerprint(state: Mapping[str, np.ndarray] | Mapping[str, Tensor]) -> str:
    """SHA-256 of names, shapes and kinds of number, in their order, hex: equal for equal architectures."""
    digest = hashlib.sha256()
    for name, value in state.items():
        floating = value.is_floating_point() if isinstance(value, Tensor) else value.dtype.kind == "f"
        digest.update(f"{name}{tuple(value.shape)}{'float' if floating else 'int'};".encode())
    return digest.hexdigest()


def state_fingerprint(state: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of layout and values, hex."""
    digest = hashlib.sha256(layout_fingerprint(state).encode())
    for array in state.values():
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
