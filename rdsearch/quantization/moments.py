"""Second moments of a weight's inputs, and their products with what they should give."""

from __future__ import annotations

import torch
from torch import Tensor

from rdsearch.base.device import memory_of, of_doubles
from rdsearch.quantization.forms import Form

SHARE = 1 / 64
"""Of the memory that a process has of a GPU: more are one weight's moments not given, of which the solver takes some
copies, and which all weights have at the same time."""
_ROUNDING = 1e-4
"""Of a weight's mean second moment: what float32 products leave of differences that should be zero."""


class Moments:
    """Means of products over the output positions of one weight, group by group, of all inputs added so far.

    They are kept in float64 on the weight's device, where that has float64 and room for several copies of them, else on
    the CPU; the levels are then chosen there as well.

    Args:
        form: How the weight is matrices.
        weight: The weight; its values are not read.
    """

    def __init__(self, form: Form, weight: Tensor) -> None:
        self._groups, self._rows, columns = form.matrices(weight).shape
        self._device = of_doubles(weight.device)
        if self._groups * columns**2 * torch.float64.itemsize > SHARE * memory_of(self._device):
            self._device = torch.device("cpu")
        self._xx = self._zeros(columns, columns)
        self._x = self._zeros(columns)
        self._count = self._zeros(1)
        self._yx: Tensor | None = None
        self._y: Tensor | None = None
        self._wanted = True

    def add(self, x: Tensor, outputs: Tensor | None = None, group: int | None = None) -> None:
        """Take in what the weight is multiplied with.

        Args:
            x: (groups or 1, positions, columns).
            outputs: What the products should be, if that is not what the weight gives: (groups, positions, rows).
                Where one call has none, none count.
            group: The one group that the inputs belong to; ``None`` for all.
        """
        where = slice(None) if group is None else slice(group, group + 1)
        # A network may take gradients in its forward pass, whatever the mode outside.
        x, outputs = x.detach(), None if outputs is None else outputs.detach()
        self._xx[where] += (x.transpose(1, 2) @ x).to(self._device)
        self._x[where] += x.sum(1).to(self._device)
        self._count[where] += x.shape[1]
        if outputs is None:
            self._wanted = False
            return
        if self._yx is None or self._y is None:
            self._yx, self._y = self._zeros(self._rows, x.shape[-1]), self._zeros(self._rows)
        self._yx[where] += (outputs.transpose(1, 2) @ x).to(self._device, torch.float64)
        self._y[where] += outputs.to(self._device, torch.float64).sum(1)

    @property
    def nbytes(self) -> int:
        """Bytes that they take."""
        kept = (self._xx, self._x, self._count, self._yx, self._y)
        return sum(tensor.nbytes for tensor in kept if tensor is not None)

    @property
    def input_mean(self) -> Tensor:
        """(groups, columns), float64; so with what follows, 0 in a group without inputs."""
        return self._mean(self._x)

    @property
    def output_mean(self) -> Tensor | None:
        """(groups, rows), float64; ``None`` without outputs."""
        return self._mean(self._y) if self._wanted and self._y is not None else None

    @property
    def noise(self) -> Tensor:
        """(groups,), float64: variances below this are rounding, and may come out negative."""
        return self._mean(self._xx.diagonal(dim1=1, dim2=2)).mean(1) * _ROUNDING

    def second(self, centred: bool) -> Tensor:
        """E[x x'], or the covariance: (groups, columns, columns), float64."""
        second = self._mean(self._xx)
        if centred:
            mean = self.input_mean
            second -= mean[:, :, None] * mean[:, None, :]
        return second

    def cross(self, centred: bool) -> Tensor | None:
        """E[y x'], or the covariance: (groups, rows, columns), float64; ``None`` without outputs."""
        wanted = self.output_mean
        if wanted is None or self._yx is None:
            return None
        cross = self._mean(self._yx)
        return cross - wanted[:, :, None] * self.input_mean[:, None, :] if centred else cross

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(self._groups, *shape, dtype=torch.float64, device=self._device)

    def _mean(self, total: Tensor) -> Tensor:
        count = self._count.clamp_min(1.0)
        return total / (count if total.dim() == 2 else count.unsqueeze(-1))
