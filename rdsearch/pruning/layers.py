"""What a pruning method sees, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Layers:
    """The prunable weights of a network, layer by layer and flat, in the network's order.

    Attributes:
        names: Name of each layer's weight.
        shapes: Shape of each layer's weight, e.g. ``(out, in, kh, kw)``.
        magnitudes: Absolute values, one float64 array of shape ``(size,)`` a layer.
        alive: Which weights survived the rounds before, one boolean array of shape ``(size,)`` a layer.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    magnitudes: tuple[Floats, ...]
    alive: tuple[Bools, ...]

    @cached_property
    def sizes(self) -> list[int]:
        """Weights of each layer, dead ones included."""
        return [mask.size for mask in self.alive]

    @cached_property
    def caps(self) -> list[int]:
        """Living weights of each layer: the most that it can keep."""
        return [int(mask.sum()) for mask in self.alive]

    @cached_property
    def floors(self) -> list[int]:
        """The fewest weights that a layer keeps unless a budget says otherwise: 1 where any is alive."""
        return [min(1, cap) for cap in self.caps]


@dataclass(frozen=True)
class Choice:
    """A method's answer.

    Attributes:
        counts: Weights that each layer keeps; they sum to the survivors asked for and none is above its cap.
        scores: One float64 array of shape ``(size,)`` a layer: inside the layer, higher scores are kept
            first. The scores of dead weights do not matter.
    """

    counts: list[int]
    scores: tuple[Floats, ...]


Method: TypeAlias = Callable[..., Choice]
"""``method(layers: Layers, survivors: int, generator: numpy.random.Generator, **options) -> Choice``."""
