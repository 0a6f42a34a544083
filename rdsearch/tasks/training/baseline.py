"""The dense network that everything is measured against: trained once, then kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load, save
from torch import nn

from rdsearch.base.device import choose_device
from rdsearch.base.files import write_atomically
from rdsearch.base.randomness import isolated_rng
from rdsearch.tasks.checks.classes import cross_entropy
from rdsearch.tasks.folders import cache_folder, cache_subfolder
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.splits import Split
from rdsearch.tasks.splits.base import Device
from rdsearch.tasks.training.stepper import Loss
from rdsearch.tasks.training.train import Progress, train
from rdsearch.tasks.weights.state import State, state_fingerprint, to_numpy

BASELINES = "baselines"
"""The folder inside the cache."""

FINGERPRINT_LENGTH = 16
"""Hex digits of the fingerprint in a file name: 64 bits, no collision among any number of baselines."""


def baseline_path(name: str, initial: State, split: Split, config: TrainingConfig, seed: int, loss: Loss) -> Path:
    """Where a baseline is kept: the fingerprint covers initial weights, data, training and seed."""
    described = "\n".join(
        [
            state_fingerprint(initial),
            split.fingerprint,
            config.model_dump_json(),
            str(seed),
            getattr(loss, "__qualname__", type(loss).__qualname__),
        ]
    )
    fingerprint = hashlib.sha256(described.encode()).hexdigest()[:FINGERPRINT_LENGTH]
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
    return cache_folder() / BASELINES / f"{stem}-{fingerprint}.safetensors"


def baseline_state(
    name: str,
    factory: Callable[[], nn.Module],
    split: Split,
    config: TrainingConfig,
    *,
    seed: int = 0,
    device: Device | None = None,
    progress: Progress | None = None,
    loss: Loss = cross_entropy,
) -> State:
    """Train the dense network, or read it back where it was trained before.

    A long training that is interrupted goes on at the next call.

    Args:
        name: The network's name, for the file's.
        factory: Makes the network; its initial weights are drawn with ``seed``.
        split: What it learns from: the training part, never the validation part.
        config: How it is trained.
        seed: Of the initial weights and the training.
        device: Where to train; a GPU where there is one when not given.
        progress: Called after each epoch; never when the network is read back.
        loss: What is minimised.

    Returns:
        Every entry of the trained network's ``state_dict``.

    Raises:
        TaskError: The cache cannot be written, or the training fails.
    """
    with isolated_rng(seed):
        network = factory()
    initial = to_numpy(network.state_dict())
    if config.epochs == 0:
        return initial
    path = baseline_path(name, initial, split, config, seed, loss)
    kept = _read(path)
    if kept is not None:
        return {name: kept[name] for name in network.state_dict()}
    cache_subfolder(BASELINES)  # a folder that cannot be written is met before hours of training, not after
    unfinished = path.with_suffix(".unfinished")
    train(
        network,
        split,
        config,
        seed=seed,
        device=device or choose_device(),
        progress=progress,
        loss=loss,
        resume=unfinished,
    )
    state = to_numpy(network.state_dict())
    write_atomically(path, save(state))
    unfinished.unlink(missing_ok=True)
    return state


def _read(path: Path) -> State | None:
    """A kept baseline; ``None`` where there is none, or only a damaged one, which is trained again."""
    try:
        state: State = load(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, SafetensorError):
        return None
    for array in state.values():
        array.flags.writeable = False
    return state
