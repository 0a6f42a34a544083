"""Where to compute, and how a network lies there."""

from __future__ import annotations

import torch
from torch import nn

from rdsearch.errors import TaskError


def choose_device() -> torch.device:
    """The first GPU, where there is one that this process may see, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def checked_device(device: str | torch.device | None) -> torch.device:
    """A device that a user named; what :func:`choose_device` finds when none was.

    Raises:
        TaskError: torch knows no such device, or this machine has none.
    """
    if device is None:
        return choose_device()
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise TaskError(
            f"device = {device!r} cannot be used here: {reason}. Give 'cpu', 'cuda' or 'cuda:1', or none "
            "for the first GPU where there is one"
        ) from None
    return place


IMAGE_AXES = 4
"""Of the weights of a two-dimensional convolution."""


def arrange(network: nn.Module, device: torch.device) -> None:
    """Move a network to ``device`` for its training, with convolutions of images channels last.

    That makes half-precision convolutions faster on a GPU, and on a CPU convolutions and pooling alike: a step of
    LeNet-5 takes two thirds of the time.
    """
    network.to(device)
    channels_last(network)


def channels_last(network: nn.Module) -> None:
    """Lay out the weights of convolutions of images channels last, in place.

    ``network.to(memory_format=torch.channels_last)`` fails for convolutions of volumes, whose weights have five axes.
    """
    for tensor in [*network.parameters(), *network.buffers()]:
        if tensor.ndim == IMAGE_AXES:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
