"""Weights as a flat table of numpy arrays, keyed and ordered like the network's ``state_dict``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.errors import TaskError
from rdsearch.tasks.weights.names import few

State = dict[str, np.ndarray]
"""Tensor name to array. Floats are float32, whatever precision they were trained in; integers stay."""


def to_numpy(state: Mapping[str, Tensor]) -> State:
    """Copy tensors into read-only arrays: float32 for every kind of float, the same dtype for integers."""
    arrays: State = {}
    for name, tensor in state.items():
        kept = tensor.detach().cpu()
        kept = kept.to(torch.float32) if kept.is_floating_point() else kept
        arrays[name] = kept.contiguous().numpy().copy()
        arrays[name].flags.writeable = False
    return arrays


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
