"""The best epoch by the validation score."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import nn

from rdsearch.tasks.training.hooks import StepHook


class BestEpoch(StepHook):
    """Ends training when the validation score grows no more, and puts the best epoch back.

    Args:
        network: What is trained.
        score: Scores a network on the validation part; more is better.
        patience: Epochs without a better score after which training ends.
    """

    def __init__(self, network: nn.Module, score: Callable[[nn.Module], float], patience: int) -> None:
        self._network = network
        self._score = score
        self._patience = patience
        self._best: tuple[float, dict[str, Any]] | None = None
        self._waited = 0

    def epoch_done(self) -> bool:
        """Score the network as it is."""
        score = self._score(self._network)
        self._waited += 1
        if self._best is None or score > self._best[0]:
            self._best = score, copy.deepcopy(self._network.state_dict())
            self._waited = 0
        return self._waited >= self._patience

    def finish(self) -> None:
        """Put the best epoch back."""
        if self._best is not None:
            self._network.load_state_dict(self._best[1])
