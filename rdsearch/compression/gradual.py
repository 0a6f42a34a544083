"""Pruning spread over a round's retraining, instead of before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from rdsearch.errors import TaskError
from rdsearch.tasks.training.hooks import StepHook

PRUNINGS = 64
"""So many in a round: each removes few enough weights for the others to make up before the next."""

Masks = Mapping[str, Tensor]
Prune = Callable[[Masks | None, int, int], dict[str, Tensor]]
"""From the masks so far, the number of weights to keep, and how many prunings follow, to new masks."""


class GradualPruning(StepHook):
    """Prunes towards a number of survivors while the network trains, fast at first and slowly at the end.

    After a share f of the prunings, n0^((1-f)²) n1^(1-(1-f)²) weights are left of n0, for n1 in the end. Each of them
    starts from what is left by the one before, and what has gone stays zero.

    Args:
        weights: Live parameters, by name.
        masks: Survivors of the round before; ``None`` where all are alive.
        counts: Weights to begin with, n0, and to end with, n1.
        prune: Chooses them.
        steps: Training steps after which all is done; at least 1.

    Attributes:
        masks: Survivors so far.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        masks: Masks | None,
        counts: tuple[int, int],
        prune: Prune,
        steps: int,
    ) -> None:
        self.masks = masks
        self._weights = weights
        self._gone = _inverted(masks)
        self._prune = prune
        self._step = 0
        self._pending = planned(*counts, steps)

    def before_forward(self) -> None:
        """Prune, where it is time.

        Raises:
            TaskError: Training has diverged.
        """
        survivors = self._pending.pop(self._step, None)
        if survivors is not None:
            self._keep(survivors)
        self._step += 1

    def after_step(self, lr: float) -> None:
        """Undo what momentum has done to pruned weights."""
        self._hold()

    def finish(self) -> None:
        """Prune to the last count where there were fewer steps than expected."""
        if self._pending:
            last = min(self._pending.values())
            self._pending.clear()
            self._keep(last)

    def _keep(self, survivors: int) -> None:
        if not all(torch.isfinite(weight).all() for weight in self._weights.values()):
            steps = f"{self._step} step{'s' * (self._step != 1)}"
            raise TaskError(
                f"weights are NaN or infinite after {steps} of a round's retraining: lower the learning rate "
                "(retrain.lr), and look for values that are not finite in the data"
            )
        self.masks = self._prune(self.masks, survivors, len(self._pending))
        self._gone = _inverted(self.masks)
        self._hold()

    def _hold(self) -> None:
        for name, gone in self._gone.items():
            self._weights[name].detach().masked_fill_(gone, 0.0)


def _inverted(masks: Masks | None) -> dict[str, Tensor]:
    """Once for each pruning, not at every step."""
    return {name: ~mask for name, mask in (masks or {}).items()}


def planned(before: int, after: int, steps: int) -> dict[int, int]:
    """Step to the weights that are left from there on; the last count is ``after``."""
    count = min(PRUNINGS, steps)
    shares = {steps * (at - 1) // count: 1 - (1 - at / count) ** 2 for at in range(1, count + 1)}
    return {step: round(before * (after / before) ** share) for step, share in shares.items()}
