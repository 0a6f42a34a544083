"""Where to compute when nothing is said."""

from __future__ import annotations

import torch

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
