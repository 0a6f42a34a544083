"""How a parameter is matrices: (groups, rows, columns), rows for outputs and columns for what they are sums over."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor


@dataclass(frozen=True)
class Matrix:
    """A parameter (rows, columns), or (groups, rows, columns); the other way round where it is transposed.

    Attributes:
        groups: Matrices in it, one after another along its first axis.
        transposed: Whether each lies as (columns, rows).
    """

    groups: int = 1
    transposed: bool = False

    def matrices(self, weight: Tensor) -> Tensor:
        """(groups, rows, columns), a view where that can be."""
        split = weight.reshape(self.groups, -1, weight.shape[-1])
        return split.mT if self.transposed else split

    def weight(self, matrices: Tensor, shape: tuple[int, ...]) -> Tensor:
        """What `matrices` has been made of."""
        return (matrices.mT if self.transposed else matrices).reshape(shape)

    def taps(self, shape: tuple[int, ...]) -> int:
        """Kernel taps; they divide the columns."""
        return 1


@dataclass(frozen=True)
class Kernel:
    """A parameter (groups * rows, ...) whose further axes are the columns; a convolution's end with the taps."""

    groups: int = 1

    def matrices(self, weight: Tensor) -> Tensor:
        """(groups, rows, columns), a view where that can be."""
        return weight.reshape(self.groups, len(weight) // self.groups, -1)

    def weight(self, matrices: Tensor, shape: tuple[int, ...]) -> Tensor:
        """What `matrices` has been made of."""
        return matrices.reshape(shape)

    def taps(self, shape: tuple[int, ...]) -> int:
        """Kernel taps; they divide the columns."""
        return math.prod(shape[2:])


@dataclass(frozen=True)
class TransposedKernel:
    """A transposed convolution's (groups * inputs, rows, taps...)."""

    groups: int = 1

    def matrices(self, weight: Tensor) -> Tensor:
        """(groups, rows, inputs * taps)."""
        split = weight.reshape(self.groups, len(weight) // self.groups, weight.shape[1], -1)
        return split.transpose(1, 2).flatten(2)

    def weight(self, matrices: Tensor, shape: tuple[int, ...]) -> Tensor:
        """What `matrices` has been made of."""
        split = matrices.reshape(self.groups, shape[1], shape[0] // self.groups, -1)
        return split.transpose(1, 2).reshape(shape)

    def taps(self, shape: tuple[int, ...]) -> int:
        """Kernel taps; they divide the columns."""
        return math.prod(shape[2:])


Form: TypeAlias = Matrix | Kernel | TransposedKernel
