"""Long trainings that go on after an interruption as if there had been none."""

from __future__ import annotations

import copy
import io
import pickle
import time
from pathlib import Path

import numpy as np
import torch

from rdsearch.base.files import write_atomically
from rdsearch.tasks.training.stepper import Stepper

SAVE_SECONDS = 30.0
"""Trainings shorter than this write nothing; longer ones lose no more than this and an epoch."""


def save_progress(
    path: Path | None, stepper: Stepper, generator: np.random.Generator, epoch: int, saved: float
) -> float:
    """Keep the state after an epoch, when the last time was long enough ago.

    Args:
        path: The file; ``None`` keeps nothing.
        stepper: What is trained.
        generator: Of order and augmentation.
        epoch: The epoch that is finished.
        saved: When the state was kept last, by ``time.perf_counter``.

    Returns:
        When the state was kept last.
    """
    if path is None or time.perf_counter() - saved < SAVE_SECONDS:
        return saved
    state = {
        "epoch": epoch,
        "stepper": stepper.state(),
        "order": generator.bit_generator.state,
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(stepper.device) if stepper.device.type == "cuda" else None,
    }
    file = io.BytesIO()
    torch.save(state, file)
    write_atomically(path, file.getvalue())
    return time.perf_counter()


def resume_from(path: Path | None, stepper: Stepper, generator: np.random.Generator) -> int:
    """Go on where an interrupted training stopped.

    Args:
        path: The file that :func:`save_progress` wrote, if it did.
        stepper: Gets its state back.
        generator: Likewise.

    Returns:
        The number of epochs that are finished: 0 where there is no file, or only a damaged one.
    """
    if path is None or not path.exists():
        return 0
    untouched = copy.deepcopy(stepper.state())
    try:
        state = torch.load(path, map_location=stepper.device, weights_only=True)
        stepper.load(state["stepper"])
    except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError):
        stepper.load(untouched)  # a state that fits only in part has left its part
        return 0
    generator.bit_generator.state = state["order"]
    torch.set_rng_state(state["torch"].cpu())
    if stepper.device.type == "cuda" and isinstance(state["cuda"], torch.Tensor):
        torch.cuda.set_rng_state(state["cuda"].cpu(), stepper.device)
    epoch: int = state["epoch"]
    return epoch
