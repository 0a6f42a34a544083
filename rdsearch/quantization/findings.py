"""What is found out about a float network by its calibration inputs, and would be found again by who comes after."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import nn

from rdsearch.base.device import memory_of

LARGEST = 2**30
"""Bytes that are kept on a processor, at most."""
SHARE = 1 / 16
"""Of a GPU's memory, likewise."""


class Sized(Protocol):
    """Something that knows how much memory it takes."""

    @property
    def nbytes(self) -> int:
        """Bytes."""


Found = TypeVar("Found", bound=Sized)


class Findings:
    """What was found out about one float network, on one device, by one batch of inputs.

    Who shares it between several uses answers for that: networks of the same values and equal inputs, in the same
    order, at the same number of threads. What is found is looked up, and changed by nobody.

    Nothing is kept of a network that draws random numbers or writes to its buffers while it is looked at: who comes
    later would miss that.
    """

    def __init__(self) -> None:
        self._found: dict[Hashable, Any] = {}
        self._held = 0

    def get(self, key: Hashable, network: nn.Module, find: Callable[[], Found]) -> Found:
        """What was found under a key, or is found now.

        Args:
            key: What is looked for, with all that it depends on besides the network and the inputs.
            network: What ``find`` runs.
            find: Looks for it.
        """
        if key in self._found:
            kept: Found = self._found[key]
            return kept
        before = _traces(network)
        found = find()
        if self._held + found.nbytes <= _room(network) and before == _traces(network):
            self._found[key] = found
            self._held += found.nbytes
        return found


def _room(network: nn.Module) -> int:
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    return min(LARGEST, int(SHARE * memory_of(device)))


def _traces(network: nn.Module) -> tuple[object, ...]:
    """What a run may leave behind: the states of random generators, and the buffers' counts of changes."""
    generators = [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [])]  # type: ignore[no-untyped-call]
    _, words, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 - the global one, which foreign code draws from
    return (
        [state.numpy().tobytes() for state in generators],
        np.asarray(words).tobytes(),
        rest,
        random.getstate(),
        [buffer._version for buffer in network.buffers() if not buffer.is_inference()],
    )
