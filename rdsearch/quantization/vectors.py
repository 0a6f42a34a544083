"""Many vectors at their bits at once, where they are: what training with a file's levels sees of them at each step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rdsearch.base.device import of_doubles
from rdsearch.quantization.uniform import NEXT_STEP, STEP_BITS


class VectorRounding:
    """The values that vectors decode to, see :func:`rdsearch.quantization.uniform.quantize_to_bits`.

    No value is read by the host, so that a GPU is not waited for. A vector that is not finite decodes to NaN.

    Args:
        vectors: Biases, scales and shifts, all on one device; read anew at each call.
        bits: Bits of a level, at least 2.
    """

    def __init__(self, vectors: Sequence[Tensor], bits: int) -> None:
        self._vectors = [vector.detach() for vector in vectors]
        self._sizes = [vector.numel() for vector in vectors]
        place = of_doubles(vectors[0].device) if vectors else torch.device("cpu")
        # A tensor, as in `in_steps`.
        self._top = torch.tensor(2.0 ** (bits - 1) - 1, dtype=torch.float64, device=place)
        counts = torch.tensor(self._sizes, dtype=torch.int64)
        self._owner = torch.repeat_interleave(torch.arange(len(self._sizes)), counts).to(place)

    def __call__(self) -> list[Tensor]:
        """One tensor a vector, of its shape, dtype and device."""
        if not self._vectors:
            return []
        flat = torch.cat([vector.flatten() for vector in self._vectors]).to(self._owner.device, torch.float64)
        largest = flat.new_zeros(len(self._sizes)).scatter_reduce_(0, self._owner, flat.abs(), "amax")
        steps = _snapped(largest / self._top)
        steps = torch.where(steps * (self._top + 0.5) <= largest, _snapped(steps * NEXT_STEP), steps)[self._owner]
        ratio = torch.where(steps == 0, 0.0, flat / steps)
        levels = ratio.round()
        levels = torch.where((levels == 0) & (ratio.abs() >= 0.5), ratio.sign(), levels)
        decoded = torch.split((levels.float() * steps.float()).to(self._vectors[0].device), self._sizes)
        return [values.view_as(vector).to(vector.dtype) for values, vector in zip(decoded, self._vectors, strict=True)]


def _snapped(steps: Tensor) -> Tensor:
    """The nearest steps that a file can hold, as `snap_step` has them: float64, of the same shape."""
    whole = steps.float().view(torch.int32)
    held: Tensor = (whole + 2 ** (STEP_BITS - 1)) >> STEP_BITS << STEP_BITS
    return held.view(torch.float32).double()
