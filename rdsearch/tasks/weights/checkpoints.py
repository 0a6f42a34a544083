"""A user's trained weights, read without ever running code from the file."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from rdsearch.errors import TaskError
from rdsearch.tasks.weights.names import Matched, few, match_names
from rdsearch.tasks.weights.state import State, Stored, check_fit

TORCH_SUFFIXES = (".pt", ".pth", ".th", ".bin", ".ckpt")

USUAL_KEYS = (
    "state_dict",
    "model_state_dict",
    "model",
    "model_state",
    "network",
    "net",
    "module",
    "weights",
    "params",
    "state",
)
"""Keys under which training scripts put the weights beside their epoch, optimiser and so on; any other is found too,
but these go first where several hold weights of the network."""

INDEX_SUFFIX = ".safetensors.index.json"

MAPPED = 2**28
"""Bytes of a file of safetensors from which on it is mapped into memory and not read."""

DEPTH = 2
"""Mappings inside mappings that are looked into for weights."""

_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")

_REMEDY = "Save the weights alone: torch.save(model.state_dict(), 'weights.pt')."


def load_checkpoint(path: Path, network: nn.Module) -> tuple[State, list[str]]:
    """Read trained weights and check that they are the network's.

    Args:
        path: ``.safetensors``; the ``.safetensors.index.json`` of one that lies in several files beside it; or
            ``.pt``, ``.pth``, ``.th``, ``.bin``, ``.ckpt`` written by ``torch.save``: a state dict, bare or under any
            key. Names may have prefixes in common; of tied weights one name will do. Safetensors of `MAPPED` bytes and
            more are mapped into memory, so that they have to stay as they are while the weights are in use.
        network: Whose weights they are; not changed.

    Returns:
        Every entry of the network's ``state_dict``, in its order; and one sentence for each thing that was in the
        file and is not used.

    Raises:
        TaskError: No such file, a damaged one, one that holds pickled code, or another network's weights.
    """
    path = path.expanduser()
    if not path.is_file():
        raise TaskError(f"checkpoint {path} is no file: name a .safetensors, .pt, .pth or .th file of weights")
    own = network.state_dict(keep_vars=True)
    where, matched, others = _best(_read(path), own, path)
    tensors = matched.tensors
    for name, tensor in own.items():
        # A count of batches that no trained network uses; files from before torch 0.4.1 lack it.
        if name.endswith("num_batches_tracked") and name not in tensors:
            tensors[name] = torch.zeros_like(tensor)
    try:
        _tie(tensors, own)
        check_fit({**tensors, **matched.misplaced}, network)
    except TaskError as error:
        raise TaskError(f"checkpoint {path}: {error}") from None
    notes = []
    if others:
        used = f"the weights under {where}" if where else "the outermost weights"
        notes.append(f"checkpoint {path}: {used} are read; those under {few(others)} would fit as well")
    if matched.foreign:
        notes.append(f"checkpoint {path}: left out, as the network has no such tensors: {few(matched.foreign)}")
    return Stored({name: tensors[name] for name in own}), notes


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return _safetensors(path)
    if path.name.endswith(INDEX_SUFFIX):
        return _shards(path)
    if path.suffix not in TORCH_SUFFIXES:
        raise TaskError(
            f"checkpoint {path} ends in {path.suffix!r}: known are .safetensors, {INDEX_SUFFIX}, "
            f"{', '.join(TORCH_SUFFIXES)}"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise TaskError(
            f"checkpoint {path} holds more than weights, pickled code{_pickled(error)}, which is not run here. "
            f"{_REMEDY}"
        ) from None
    except (RuntimeError, OSError, EOFError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TaskError(f"checkpoint {path} cannot be read, it may be damaged: {reason} {_REMEDY}") from None


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors = load_file(path)
        # What overwrites a mapped file changes the weights in use, or ends the process where the file gets shorter.
        return tensors if path.stat().st_size >= MAPPED else {name: value.clone() for name, value in tensors.items()}
    except (SafetensorError, OSError) as error:
        raise TaskError(f"checkpoint {path} is no readable safetensors file: {error}") from None


def _shards(path: Path) -> dict[str, Tensor]:
    """The tensors that an index names, from the files beside it."""
    try:
        named = json.loads(path.read_text())["weight_map"]
        files = {name: str(file) for name, file in named.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TaskError(
            f"checkpoint {path} is no index of safetensors files ({error}): it has a weight_map, from tensors' names "
            "to files"
        ) from None
    if odd := sorted(file for file in set(files.values()) if Path(file).name != file or not file.strip(".")):
        raise TaskError(f"checkpoint {path} names {odd[0]!r}: its files have to lie beside it")
    if lacking := sorted(file for file in set(files.values()) if not (path.parent / file).is_file()):
        raise TaskError(f"checkpoint {path}: {few(lacking)} missing beside it: fetch all files that the index names")
    shards = {file: _safetensors(path.parent / file) for file in sorted(set(files.values()))}
    if lost := [name for name, file in files.items() if name not in shards[file]]:
        raise TaskError(f"checkpoint {path}: {few(lost)} not in the files that the index names for them")
    return {name: shards[file][name] for name, file in files.items()}


def _pickled(error: pickle.UnpicklingError) -> str:
    """Which class or function it is, where torch says it."""
    found = _GLOBAL.search(str(error))
    return f" ({found[1]})" if found else ""


def _best(content: Any, own: Mapping[str, Tensor], path: Path) -> tuple[str, Matched, list[str]]:
    """Where the weights lie that fit the network best, these weights, and where others lie that fit as well."""
    found = {where: match_names(state, own) for where, state in _state_dicts(content)}
    if not found:
        described = sorted(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise TaskError(f"checkpoint {path} holds no state dict but {described}. {_REMEDY}")
    best = max(found, key=lambda where: found[where].fitting)
    if found[best].fitting == 0:  # the largest is told of
        best = max(found, key=lambda where: len(found[where].misplaced))
    others = [where for where, matched in found.items() if where != best and matched.fitting == found[best].fitting]
    return best, found[best], others if found[best].fitting else []


def _state_dicts(content: Any, where: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Mappings that hold tensors, also in sequences: outer ones and those under usual keys first, by their path."""
    if isinstance(content, (list, tuple)):
        content = dict(enumerate(content))
    if not isinstance(content, Mapping) or depth > DEPTH:
        return
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if tensors:
        yield where, tensors
    usual = {key: number for number, key in enumerate(USUAL_KEYS)}
    for key in sorted(content, key=lambda key: usual.get(key, len(usual))):
        yield from _state_dicts(content[key], f"{where}.{key}" if where else str(key), depth + 1)


def _tie(tensors: dict[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Fill the missing names of tied tensors from the others.

    Raises:
        TaskError: The file has different values for what the network ties.
    """
    names: dict[int, list[str]] = {}
    for name, tensor in own.items():
        names.setdefault(id(tensor), []).append(name)
    for group in names.values():
        given = [name for name in group if name in tensors]
        for name in given[1:]:
            if not torch.equal(tensors[name], tensors[given[0]]):
                raise TaskError(
                    f"the network ties {given[0]} and {name}, for which the file has different values: give a network "
                    "that does not tie them"
                )
        tensors |= {name: tensors[given[0]] for name in group if given}
