"""How strongly the rate prices: a controller that brings the file to its size.

The goal falls from the size at the start to the target over the first part of the training, in log by a power of
what is left of that part, up to the fourth: fast at first, so that most steps are those of a network that has been cut
down, and ever more slowly, so that levels which are on their way do not carry the file past it. What is left then falls
as the learning rate does. The price follows the logarithm of the ratio of size to goal, in proportion, by its sum and
by its change (a PID controller), the more strongly the less the levels still move. Between two files that are really
packed the size is guessed from densities, in proportion to the last one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rdsearch.retraining.rate.coded import ADAM_BETAS
from rdsearch.retraining.settings import LevelTraining

RAMP = 0.6
"""Share of the training in which the goal moves."""
EVERY = 5
"""Training steps between two corrections of the price."""
POWER = 1.5, 4.0
"""Of the goal's fall, at least and at most."""
REACH = 0.5
"""Fall of the goal's logarithm in a step over the learning rate of the levels: they go no faster."""
AHEAD = 10
"""Training steps for which an error is thought to go on growing or shrinking: what levels need to arrive."""
INTEGRAL, SLOWEST, FASTEST = 400.0, 0.02, 0.2
"""Growth of the price's logarithm over the whole training at an error of 1, and what a step has of it at least and at
most: levels need tens of steps to follow."""
PROPORTIONAL = 24.0
WEAKEST, STRONGEST = -4.0, 1.5
"""Of what is in proportion, in log: letting go is safe."""
SURE = 0.1
"""Up to which an error counts in the sum: levels that are on their way would be counted again and again."""
FIRST_PRICE = 0.1
"""In mean magnitudes of the loss's gradient by a level, as are the bounds."""
MEMORY = ADAM_BETAS[1] ** EVERY
"""Of that mean between two corrections: that of Adam's denominators."""
BOUNDS = 1e-4, 1e3
SLOPE = 0.08
"""What is left to fall after that, of the target: a file below its goal hardly grows again, as the learning rate falls,
so that the goal is met from above. Levels that hardly move any more cannot follow a straight fall: a ResNet-20 ended
3 % above its target, and lost three points by the levels that had to go then."""
URGENT = 10.0
"""So many times as much an error counts at most, as the learning rate falls."""
CLEARLY = 1.1
"""A file that begins below so many times its target keeps what is dead: it may need that again."""
GROWS = 0.9
"""A file below so many times its goal keeps what is dead as well: it has to grow."""
MARGIN = 0.997
"""Of the target, what is aimed at."""
_STATE = ("start", "ratio", "power", "before", "sum", "mean", "seen", "unit")


def annealed(share: float) -> float:
    """The learning rate after a share of the training, of its highest: a cosine from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * share))


class Steering:
    """The price of a bit in the loss.

    Args:
        target: Bytes that the file shall have in the end; ``None`` where the price is fixed.
        weight: The fixed price, in mean magnitudes of the loss's gradient by a level; of no effect with a target.
        fixed: Bytes of a file whose levels are all zero.
        steps: Of the whole training.
        lr: Of the levels, in steps.

    Attributes:
        price: As it is, in units of the loss, a scalar on the device.
    """

    def __init__(
        self, target: int | None, weight: float, fixed: int, steps: int, lr: float, device: torch.device
    ) -> None:
        self._target = None if target is None else target * MARGIN
        self._weight = weight
        self._fixed = fixed
        self._steps = steps
        self._integral = min(FASTEST, max(SLOWEST, INTEGRAL / steps))
        self._reach = REACH * lr * RAMP * steps
        self._start = 0.0
        self._ratio = 1.0
        self._power = 1.0
        self._before: Tensor | None = None
        self._unit = torch.zeros((), device=device)
        self._mean = torch.zeros((), device=device)
        self._seen = 0.0
        self._sum = torch.full((), math.log(FIRST_PRICE), device=device)
        self.price = torch.zeros((), device=device)

    def look(self, gradient: Tensor) -> None:
        """Follow the loss's gradient, in whose mean magnitude the price is measured, as Adam's steps are."""
        self._seen = self._seen * MEMORY + (1 - MEMORY)
        self._mean = self._mean * MEMORY + gradient * (1 - MEMORY)
        self._unit = self._mean / self._seen

    def measured(self, size: int, bits: float) -> None:
        """A file has been packed: its bytes, and what `Coded.bits` said of it."""
        if not self._start:
            self._start = float(size)
            if self._target is not None:
                least, most = POWER
                fall = math.log(max(self._start / self._target, 1.0))
                self._power = min(most, max(least, self._reach / fall)) if fall else most
        self._ratio = max(size - self._fixed, 1) / max(bits / 8, 1.0)

    def goal(self, step: int) -> float:
        """Bytes that the file should have after a step."""
        assert self._target is not None  # noqa: S101 - asked for with a target alone
        share = step / self._steps
        left = max(0.0, 1 - share / RAMP)
        end = self._target * (1 + SLOPE * min(1.0, annealed(share) / annealed(RAMP)))
        return float(end * (self._start / end) ** left**self._power)

    def shrinks(self, size: int, step: int) -> bool:
        """Whether a file of so many bytes still has to shrink, on the way to one that is clearly smaller."""
        if self._target is None:
            return True
        return size >= GROWS * self.goal(step) and self._start > CLEARLY * self._target

    def correct(self, bits: Tensor, step: int) -> None:
        """Follow what the levels would take now."""
        if self._target is None:
            self.price = self._unit * self._weight
            return
        error = torch.log((self._fixed + self._ratio / 8 * bits) / self.goal(step)).clamp(-1, 1)
        error = error * min(URGENT, max(1.0, annealed(RAMP) / max(annealed(step / self._steps), 1e-9)))
        low, high = map(math.log, BOUNDS)
        self._sum = (self._sum + self._integral * EVERY * error.clamp(-SURE, SURE)).clamp(low, high)
        soon = error if self._before is None else error + (error - self._before) * (AHEAD / EVERY)
        self._before = error
        self.price = self._unit * torch.exp(self._sum + (PROPORTIONAL * soon).clamp(WEAKEST, STRONGEST))

    def state(self) -> dict[str, object]:
        """Everything that changes."""
        return {name: getattr(self, f"_{name}") for name in _STATE} | {"price": self.price}

    def load(self, state: dict[str, object]) -> None:
        """Go on from what `state` gave."""
        for name in _STATE:
            setattr(self, f"_{name}", state[name])
        self.price = torch.as_tensor(state["price"])


def target_of(settings: LevelTraining, fixed: int, size_before: Callable[[], int]) -> int | None:
    """The size that a file is steered to; ``None`` where the price is fixed.

    Args:
        settings: The recipe's.
        fixed: Bytes of a file whose levels are all zero.
        size_before: Of the file before the training.
    """
    if settings.rate_weight is not None:
        return None
    if settings.target_bytes is None:
        return max(size_before(), fixed + 1)
    return max(settings.target_bytes, fixed + 1)
