"""What a long training for the file keeps of itself, so that a killed trial loses minutes and not its round."""

from __future__ import annotations

import io
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

SAVE_SECONDS = 60.0
"""Between two savings, at least."""


@dataclass(frozen=True)
class Draft:
    """Where the state of an unfinished round lies.

    Attributes:
        read: Its bytes; ``None`` where there are none.
        write: Replaces them, whole or not at all.
        seconds: Between two savings, at least.
    """

    read: Callable[[], bytes | None]
    write: Callable[[bytes], None]
    seconds: float = SAVE_SECONDS

    def due(self, saved: float) -> bool:
        """Whether it is time, ``saved`` being the last one by ``time.perf_counter``."""
        return time.perf_counter() - saved >= self.seconds

    def save(self, state: dict[str, Any]) -> None:
        """Keep a state of tensors and plain values."""
        file = io.BytesIO()
        torch.save(state, file)
        self.write(file.getvalue())

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The state that was kept; ``None`` where there is none, or only a damaged one."""
        data = self.read()
        if data is None:
            return None
        try:
            state: dict[str, Any] = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
        except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError):
            return None
        return state
