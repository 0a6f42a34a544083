"""What may happen around each step of training: the place where every option of retraining takes hold."""

from __future__ import annotations

from typing import Any

from torch import Tensor


class StepHook:
    """Does nothing; an option overrides what it needs."""

    def before_forward(self) -> None:
        """Called before the forward pass of each step."""

    def objective(self, inputs: Any, output: Any, targets: Tensor, loss: Tensor) -> Tensor:
        """What is minimised, from the inputs, the network's output, the targets and the loss so far (a scalar)."""
        return loss

    def after_step(self, lr: float) -> None:
        """Called after the optimiser's step, with the learning rate that it used."""

    def epoch_done(self) -> bool:
        """Called after each epoch; whether training ends here."""
        return False

    def finish(self) -> None:
        """Called once after the last step: leave in the parameters what training was for."""
