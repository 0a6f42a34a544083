"""A network's parameters as trainable levels times learned steps, in one vector.

The forward pass sees ``round(v) * step`` for a float v behind every level, and the gradient passes straight through
the rounding (Bengio, Léonard & Courville 2013). The step is learned beside them (Esser et al. 2020, "Learned step size
quantization", with the whole v as the unit). Zeros are levels like all others: they may come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.base.device import IMAGE_AXES
from rdsearch.quantization.uniform import Quantized, snap_step
from rdsearch.retraining.rate.price import priced
from rdsearch.retraining.rate.slicing import Left

INSIDE = 0.49
"""How far a v may start from its level, in steps: it rounds to that level."""

ADAM_BETAS = (0.9, 0.999)
_MOMENTS = ("exp_avg", "exp_avg_sq")
SOFT = 0.1
"""Width in steps about zero over which the rate's slope grows to its whole strength."""
STEP_LR = 0.1
"""Learning rate of a step's logarithm over that of the levels."""


@dataclass(frozen=True)
class Segment:
    """One tensor of the file.

    Attributes:
        name: In the state dict.
        coded_as: Its name in the file.
        parameter: Where the network has it.
        values: The v behind its levels, float32, of the parameter's shape.
        step: Distance between levels, above 0.
    """

    name: str
    coded_as: str
    parameter: nn.Parameter
    values: Tensor
    step: float


class Coded:
    """The tensors of a file in training; m values in n segments. The parameters become views of one vector.

    Args:
        segments: The tensors.
        lr: Learning rate of v, in steps.

    Attributes:
        values: v, (m,), float32.
        log_steps: Natural logarithms of the steps, (n,), float32.
        counts: Values of each segment.
        optimizer: Adam on both.
    """

    def __init__(self, segments: Sequence[Segment], lr: float) -> None:
        self.segments = list(segments)
        self._names = [segment.name for segment in segments]
        self.counts = [segment.values.numel() for segment in segments]
        self._forms = [_Form.of(segment.parameter) for segment in segments]
        values = torch.cat([form.flat(segment.values) for form, segment in zip(self._forms, segments, strict=True)])
        device = values.device
        self.values = nn.Parameter(values)
        self.log_steps = nn.Parameter(torch.tensor([segment.step for segment in segments], device=device).log())
        self._lengths = torch.tensor(self.counts, device=device)
        self._decoded = torch.empty_like(values)
        self._scale = torch.empty_like(values)  # the step of each
        self._slopes = torch.zeros_like(values)
        self._gradient = torch.zeros_like(values)
        views = zip(segments, self._forms, self._parts(self._decoded), self._parts(self._gradient), strict=True)
        for segment, form, decoded, gradient in views:
            segment.parameter.data, segment.parameter.grad = form.shaped(decoded), form.shaped(gradient)
        self.optimizer = torch.optim.Adam(
            [{"params": [self.values]}, {"params": [self.log_steps]}], lr=lr, betas=ADAM_BETAS, fused=True
        )
        self.decode()
        self.bits()

    def decode(self) -> None:
        """Give the network's parameters the values of the file."""
        with torch.no_grad():
            steps = zip(self.steps().unbind(), self.counts, strict=True)
            torch.cat([step.expand(count) for step, count in steps], out=self._scale)
            torch.round(self.values, out=self._decoded).mul_(self._scale)
        self._gradient.zero_()

    def steps(self) -> Tensor:
        """The steps as a file can hold them: (n,), float32."""
        return self.log_steps.detach().exp().bfloat16().float()

    def update(self, price: Tensor, lr: float) -> None:
        """One step of Adam by the gradients that lie in the parameters and those of the rate, as `bits` saw it last.

        Args:
            price: Of a bit, in units of the loss: a scalar.
            lr: Of v.
        """
        with torch.no_grad():
            # Unsafe: not looking at the lengths, which a GPU would have to be waited for.
            products = self._gradient * self._decoded
            by_step = torch.segment_reduce(products, "sum", lengths=self._lengths, unsafe=True)
            gradient = self._gradient * self._scale
            # The slope of |v| is softened about zero, where it would jump to and fro.
            gradient.addcmul_((self.values * (1 / SOFT)).clamp_(-1, 1).mul_(self._slopes), price)
            self.values.grad, self.log_steps.grad = gradient, by_step
            for group, rate in zip(self.optimizer.param_groups, (lr, lr * STEP_LR), strict=True):
                group["lr"] = rate
            self.optimizer.step()

    def bits(self) -> Tensor:
        """About how many bits the levels take: a scalar. Updates go by the slopes of these from now on."""
        with torch.no_grad():
            total = torch.zeros((), device=self.values.device)
            for form, values, slopes in zip(
                self._forms, self._parts(self.values.detach()), self._parts(self._slopes), strict=True
            ):
                bits, found = priced(form.shaped(values), form.channels)
                slopes.copy_(form.flat(found.expand(form.shape)))
                total += bits
        return total

    def mean_gradient(self) -> Tensor:
        """Mean magnitude of the loss's gradient by the v whose levels are not zero: a scalar.

        Those of a channel that nothing feeds are left out: its batch normalisation divides by the root of eps alone.
        """
        alive = self._decoded != 0
        magnitudes = (self._gradient * self._scale).abs_().mul_(alive)
        return magnitudes.sum() / alive.sum().clamp_min(1)

    def levels(self, threshold: float = 0.5) -> dict[str, Quantized]:
        """The levels as they stand, by the tensors' names in the state dict.

        Args:
            threshold: Magnitude of v from which on a level is not zero; 0.5 is rounding.
        """
        steps = [snap_step(float(step)) for step in self.steps().cpu()]
        found = {}
        for segment, shaped, step in zip(
            self.segments, self._by_name(self.values.detach()).values(), steps, strict=True
        ):
            levels = shaped.round()
            if threshold != 0.5 and segment.parameter.dim() > 1:
                away = torch.where(levels == 0, shaped.sign(), levels)
                levels = torch.where(shaped.abs() >= threshold, away, 0.0)
            found[segment.name] = Quantized(np.ascontiguousarray(levels.to(torch.int32).cpu().numpy()), step)
        return found

    def magnitudes(self, names: Sequence[str], least: float, most: float) -> Tensor:
        """Magnitudes of v above the one and up to the other bound, in tensors given by their names.

        Returns:
            In ascending order: (k,), float32, on the CPU.
        """
        tensors = self._by_name(self.values.detach())
        found = torch.cat([tensors[name].abs().flatten() for name in names])
        return found[(found > least) & (found <= most)].sort().values.cpu()

    def step(self, name: str) -> float:
        """The step of a tensor, by its name in the state dict."""
        return float(self.log_steps.detach()[self._names.index(name)].exp())

    def tensors(self) -> dict[str, Tensor]:
        """V of each tensor, by its name in the state dict: copies of the parameters' shapes."""
        return self._by_name(self.values.detach().clone())

    def carry(self, old: Coded, left: Left | None) -> None:
        """Go on with the moments that the optimiser had for the same tensors, where these have become smaller.

        Args:
            old: The tensors before.
            left: What is left of them.
        """
        states = [old.optimizer.state[parameter] for parameter in (old.values, old.log_steps)]
        if not all(states):
            return
        for parameter, state in zip((self.values, self.log_steps), states, strict=True):
            moments = {kind: torch.zeros_like(parameter) for kind in _MOMENTS}
            self.optimizer.state[parameter] = {"step": state["step"].clone(), **moments}
        places = [old._names.index(name) if name in old._names else None for name in self._names]
        with torch.no_grad():
            for kind in _MOMENTS:
                before = old._by_name(states[0][kind])
                now = self._parts(self.optimizer.state[self.values][kind])
                steps = self.optimizer.state[self.log_steps][kind]
                for number, (name, form, part, place) in enumerate(
                    zip(self._names, self._forms, now, places, strict=True)
                ):
                    if place is None:
                        continue
                    moved = before[name]
                    part.copy_(form.flat(moved if left is None else left.taken(name, moved)))
                    steps[number] = states[1][kind][place]

    def _by_name(self, flat: Tensor) -> dict[str, Tensor]:
        parts = zip(self._names, self._forms, self._parts(flat), strict=True)
        return {name: form.shaped(part) for name, form, part in parts}

    def _parts(self, flat: Tensor) -> Sequence[Tensor]:
        """The segments of a vector, as views."""
        return torch.split(flat, self.counts)

    def state(self) -> dict[str, object]:
        """Everything that the next step depends on."""
        return {
            "values": self.values.detach(),
            "slopes": self._slopes,
            "log_steps": self.log_steps.detach(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state: dict[str, object]) -> None:
        """Go on from what `state` gave, for the same segments."""
        with torch.no_grad():
            self.values.copy_(state["values"])  # type: ignore[arg-type]
            self._slopes.copy_(state["slopes"])  # type: ignore[arg-type]
            self.log_steps.copy_(state["log_steps"])  # type: ignore[arg-type]
        self.optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]
        self.decode()


class _Form(NamedTuple):
    """How a parameter lies in the vector: as in memory."""

    shape: torch.Size
    channels_last: bool

    @classmethod
    def of(cls, parameter: nn.Parameter) -> _Form:
        last = parameter.dim() == IMAGE_AXES and parameter.is_contiguous(memory_format=torch.channels_last)
        return cls(parameter.shape, last)

    @property
    def channels(self) -> tuple[int, int] | None:
        """Axes of output and input channels; ``None`` for a vector."""
        return (0, 1) if len(self.shape) > 1 else None

    def flat(self, values: Tensor) -> Tensor:
        """A tensor of the shape as a vector."""
        if self.channels_last:
            values = values.permute(0, 2, 3, 1)
        return values.detach().float().reshape(-1)

    def shaped(self, flat: Tensor) -> Tensor:
        """The opposite of `flat`, a view."""
        if not self.channels_last:
            return flat.view(self.shape)
        out, channels, height, width = self.shape
        return flat.view(out, height, width, channels).permute(0, 3, 1, 2)
