"""What a pruning method is given, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import get_num_threads, nn

from rdsearch.base.compiled import in_threads
from rdsearch.base.network.inputs import Inputs

Floats: TypeAlias = NDArray[np.floating[Any]]
Bools: TypeAlias = NDArray[np.bool_]


T = TypeVar("T")


def _numbers(part: slice) -> range:
    return range(part.start, part.stop)


@dataclass(frozen=True)
class Layers:
    """The prunable weights of a network, layer by layer and flat, in the network's order.

    Attributes:
        names: Name of each layer's weight.
        shapes: Shape of each layer's weight, e.g. ``(out, in, kh, kw)``.
        magnitudes: Absolute values, one float32 or float64 array of shape ``(size,)`` a layer; each is made of the
            weights as they are when it is asked for, so that there need be one at a time.
        alive: Which weights survived the rounds before, one boolean array of shape ``(size,)`` a layer.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    magnitudes: Sequence[Floats]
    alive: tuple[Bools, ...]

    @cached_property
    def sizes(self) -> list[int]:
        """Weights of each layer, dead ones included."""
        return [mask.size for mask in self.alive]

    @cached_property
    def caps(self) -> list[int]:
        """Living weights of each layer: the most that it can keep."""
        return [int(mask.sum()) for mask in self.alive]

    def living(self, index: int) -> Floats:
        """Magnitudes of a layer's living weights: ``(cap,)``."""
        magnitudes = self.magnitudes[index]
        return magnitudes if self.caps[index] == magnitudes.size else magnitudes[self.alive[index]]

    def each(self, work: Callable[[int], T]) -> list[T]:
        """What a function makes of each layer's number, in order; some at a time, in as many threads as torch may use.

        Args:
            work: What it does depends on no other layer; array calls of NumPy run side by side.
        """
        parts = in_threads(lambda part: [work(index) for index in _numbers(part)], len(self.names), get_num_threads())
        return [found for part in parts for found in part]

    @cached_property
    def floors(self) -> list[int]:
        """The fewest weights that a layer keeps unless a budget says otherwise: 1 where any is alive."""
        return [min(1, cap) for cap in self.caps]


@dataclass(frozen=True)
class Work:
    """What a round of pruning works on.

    Attributes:
        layers: The prunable weights.
        seed: Of the method's random choices.
        network: The network that the weights belong to, for methods that look at its outputs; not traced, and as it was
            when they are done.
        inputs: Makes the calibration inputs, one batch on the network's device; called only by methods that use them.
    """

    layers: Layers
    seed: int = 0
    network: nn.Module | None = None
    inputs: Callable[[], Inputs] | None = None

    def generator(self) -> np.random.Generator:
        """A generator at the seed's beginning."""
        return np.random.default_rng(self.seed)


@dataclass(frozen=True)
class Choice:
    """An allocation of some survivors.

    Attributes:
        counts: Weights that each layer keeps; they sum to the survivors asked for and none is above its cap.
        scores: One array of shape ``(size,)`` a layer: inside the layer, higher scores are kept first. The scores of
            dead weights do not matter.
    """

    counts: list[int]
    scores: Sequence[Floats]


Allocation: TypeAlias = Callable[[int], Choice]
"""From a number of survivors to the choice. Budgets ask for several numbers, and use one of the choices."""

Method: TypeAlias = Callable[..., Allocation]
"""``method(work: Work, **options) -> Allocation``: what can be computed once is computed before the first question."""
