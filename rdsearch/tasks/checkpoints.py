"""A user's trained weights, read without ever running code from the file."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from rdsearch.errors import TaskError
from rdsearch.tasks.state import State, check_fit, to_numpy

TORCH_SUFFIXES = (".pt", ".pth", ".th", ".bin", ".ckpt")

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts put the weights beside their epoch, optimiser and so on."""

PREFIXES = ("module.", "_orig_mod.")
"""Put before every name by ``DataParallel`` and by ``torch.compile``."""

_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")

_REMEDY = "Save the weights alone: torch.save(model.state_dict(), 'weights.pt')."


def load_checkpoint(path: Path, network: nn.Module) -> State:
    """Read trained weights and check that they are the network's.

    Args:
        path: ``.safetensors``, or ``.pt``, ``.pth``, ``.th``, ``.bin``, ``.ckpt`` written by ``torch.save``:
            a state dict, bare or under ``state_dict``; names may be prefixed ``module.``.
        network: Whose weights they are; not changed.

    Returns:
        Every entry of the network's ``state_dict``, in its order.

    Raises:
        TaskError: No such file, a damaged one, one that holds pickled code, or another network's weights.
    """
    path = path.expanduser()
    if not path.is_file():
        raise TaskError(f"checkpoint {path} is no file: name a .safetensors, .pt, .pth or .th file of weights")
    tensors = _strip_prefixes(_tensors(path))
    for name, own in network.state_dict().items():
        # A count of batches that no trained network uses; files from before torch 0.4.1 lack it.
        if name.endswith("num_batches_tracked") and name not in tensors:
            tensors[name] = torch.zeros_like(own)
    try:
        check_fit(tensors, network)
    except TaskError as error:
        raise TaskError(f"checkpoint {path}: {error}") from None
    return to_numpy({name: tensors[name] for name in network.state_dict()})


def _tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise TaskError(f"checkpoint {path} is no readable safetensors file: {error}") from None
    if path.suffix not in TORCH_SUFFIXES:
        raise TaskError(
            f"checkpoint {path} ends in {path.suffix!r}: known are .safetensors, {', '.join(TORCH_SUFFIXES)}"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise TaskError(
            f"checkpoint {path} holds more than weights, pickled code{_pickled(error)}, which is not run here. "
            f"{_REMEDY}"
        ) from None
    except (RuntimeError, OSError, EOFError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TaskError(f"checkpoint {path} cannot be read, it may be damaged: {reason} {_REMEDY}") from None
    return _unwrap(content, path)


def _pickled(error: pickle.UnpicklingError) -> str:
    """Which class or function it is, where torch says it."""
    found = _GLOBAL.search(str(error))
    return f" ({found[1]})" if found else ""


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        found = sorted(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise TaskError(f"checkpoint {path} holds no state dict but {found}. {_REMEDY}")
    return dict(content)


def _strip_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors
