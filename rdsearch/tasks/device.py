"""Where to compute when nothing is said."""

from __future__ import annotations

import torch


def choose_device() -> torch.device:
    """The first GPU, where there is one that this process may see, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
