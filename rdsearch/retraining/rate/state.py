"""A network in training for its file: what is trained, what has been cut out, and the whole file as it stands."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.base.device import arrange
from rdsearch.quantization.batchnorm import batchnorm_layers, vector_name
from rdsearch.quantization.uniform import Quantized, dequantize, is_folded, snap_step
from rdsearch.retraining.rate import norms
from rdsearch.retraining.rate.coded import INSIDE, Coded, Segment
from rdsearch.retraining.rate.slicing import Left, Slices

SPREAD = 4.0
FIRST_STEP = 0.02
"""Of a tensor that is all zero."""
ROUNDING = 0.5
"""Magnitude of v from which on its level is not zero."""
FARTHEST = 4.0
"""Up to this magnitude of v a level becomes zero where the file does not fit its target else."""
CLOSE = 0.999
"""Of the target: a file that is larger than this needs no more levels."""


@dataclass(frozen=True)
class FileLevels:
    """What a file holds.

    Attributes:
        weights: Levels of every weight, by name.
        vectors: Levels of biases, scales and shifts where they have been trained, by their names in the file.
    """

    weights: Mapping[str, Quantized]
    vectors: Mapping[str, Quantized]

    @classmethod
    def zeros(cls, network: nn.Module, levels: Mapping[str, Quantized]) -> FileLevels:
        """The levels of an empty network."""
        vectors = {name: _zeros(parameter) for name, _, parameter in _vectors(network, levels)}
        weights = {name: Quantized(np.zeros_like(given.levels), given.step) for name, given in levels.items()}
        return cls(weights, vectors)


class Size(Protocol):
    """The bytes of a file, really packed."""

    def __call__(self, whole: nn.Module, levels: FileLevels, last: bool = False) -> int:
        """Pack it.

        Args:
            whole: What decodes from the levels; not changed.
            levels: What the file holds.
            last: Leave out what nothing reads, as in the end.
        """
        ...


class Trained:
    """The network that is trained, and the whole one that it will be.

    Args:
        network: A fresh one; trained, and cut smaller.
        whole: What decodes from ``levels``; it becomes what the file holds.
        source: The float network.
        levels: Of each weight, where the training begins.
        bits: Of biases and of batch normalisation's scale and shift.
        lr: Of the levels, in steps.
        size: Packs a file.
        inputs: A few examples.

    Attributes:
        network: As above.
        coded: Its tensors.
    """

    def __init__(
        self,
        network: nn.Module,
        whole: nn.Module,
        source: nn.Module,
        levels: Mapping[str, Quantized],
        *,
        bits: int,
        lr: float,
        size: Size,
        inputs: Any,
    ) -> None:
        self.network = network
        self._whole = whole
        self._levels = levels
        self._bits = bits
        self._lr = lr
        self._size = size
        network.load_state_dict(whole.state_dict())
        arrange(network, inputs)
        self._floats = norms.take_statistics(network, source)
        if not self._floats:
            norms.become_maps(network)
        self._slices = Slices(network, inputs)
        self._shapes = {name: tuple(value.shape) for name, value in whole.state_dict().items()}
        floats = dict(source.named_parameters(remove_duplicate=False))
        self._begin({name: _behind(levels[name], floats[name]) for name in self._weights()})

    def before_forward(self) -> None:
        """Batch normalisation that is held looks at no batch."""
        if not self._floats:
            norms.hold(self.network)

    def update(self, price: Tensor, factor: float) -> None:
        """One step by the gradients, at a share of the learning rates; the network then has the file's values."""
        self.coded.update(price, self._lr * factor)
        if self._of_norms is not None:
            for group in self._of_norms.param_groups:
                group["lr"] = norms.LR * factor
            self._of_norms.step()
            self._of_norms.zero_grad()
        self.coded.decode()

    def hold_norms(self) -> None:
        """Make batch normalisation the map that the file has, from now on, and train its levels."""
        if self._floats:
            norms.become_maps(self.network)
            self._floats = False
            self._begin(self.coded.tensors(), self.coded)

    def cut(self) -> None:
        """Cut out the channels that died."""
        alive = {name: values.abs() >= ROUNDING for name, values in self.coded.tensors().items()}
        kept = {name: alive[name] for name in self._weights()}
        left = self._slices.cut(self.network, kept)
        if left:
            self._begin(
                {name: left.taken(name, values) for name, values in self.coded.tensors().items()}, self.coded, left
            )

    def measure(self, last: bool = False) -> int:
        """Bytes of the file as it stands; ``last`` leaves out what nothing reads, as in the end."""
        return self._measured(ROUNDING, last)

    def settle(self, target: int | None) -> FileLevels:
        """Leave the file's network in ``whole``; a few small levels go where it does not fit the target.

        Args:
            target: Bytes; ``None`` takes the levels as they are.
        """
        if target is None:
            return self._filled(ROUNDING)
        if self._measured(ROUNDING, last=True) <= target:
            return self._filled(ROUNDING)
        # By rank: where training ends, many v lie so close beyond rounding that no threshold between two numbers tells
        # them apart.
        thresholds = self.coded.magnitudes(self._weights(), ROUNDING, FARTHEST)
        low, high = -1, len(thresholds) - 1
        while high - low > 1:
            middle = (low + high) // 2
            size = self._measured(float(thresholds[middle]), last=True)
            if size > target:
                low = middle
                continue
            high = middle
            if size > CLOSE * target:
                break
        return self._filled(float(thresholds[high]) if len(thresholds) else ROUNDING)

    def _measured(self, threshold: float, last: bool = False) -> int:
        return self._size(self._whole, self._filled(threshold), last=last)

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "network": self.network.state_dict(),
            "slices": self._slices.state(),
            "floats": self._floats,
            "coded": self.coded.state(),
            "norms": None if self._of_norms is None else self._of_norms.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave, in a network that is whole."""
        left = self._slices.restore(self.network, state["slices"])
        if self._floats and not state["floats"]:
            norms.become_maps(self.network)
            self._floats = False
        self._begin({name: left.taken(name, values) for name, values in self.coded.tensors().items()})
        self.network.load_state_dict(state["network"])
        self.coded.load(state["coded"])
        if self._of_norms is not None:
            self._of_norms.load_state_dict(state["norms"])

    def _weights(self) -> list[str]:
        """The weights that are trained, in the network's order."""
        parameters = dict(self.network.named_parameters())
        return [name for name in self._levels if name in parameters and parameters[name].requires_grad]

    def _begin(self, behind: Mapping[str, Tensor], old: Coded | None = None, left: Left | None = None) -> None:
        """Train these tensors from now on, moved as the old ones were."""
        parameters = dict(self.network.named_parameters())
        segments = []
        for name in self._weights():
            step = self._levels[name].step if old is None else old.step(name)
            segments.append(Segment(name, name, parameters[name], behind[name], step or FIRST_STEP))
        for name, coded_as, parameter in _vectors(self.network, self._levels, normalisations=not self._floats):
            if not parameter.requires_grad or (coded_as.endswith(".scale") and is_folded(parameter)):
                continue
            if name in behind:
                values, step = behind[name], FIRST_STEP if old is None else old.step(name)
            else:
                step = first_step(parameter, self._bits)
                values = parameter.detach() / step
            segments.append(Segment(name, coded_as, parameter, values, step))
        self.coded = Coded(segments, self._lr)
        if old is not None:
            self.coded.carry(old, left)
        self._of_norms = None
        if self._floats:
            self._of_norms = torch.optim.Adam(norms.parameters(self.network), lr=norms.LR)

    def _filled(self, threshold: float) -> FileLevels:
        """The file's levels, and ``whole`` filled with what they decode to."""
        with torch.no_grad():
            for name, value in self._whole.state_dict().items():
                part = self.network.state_dict()[name]
                value.copy_(self._slices.whole(name, part, self._shapes[name]))
        if self._floats:
            norms.silence(self._whole)
        weights, vectors = dict(self._levels), dict[str, Quantized]()
        found = self.coded.levels(threshold)
        state = self._whole.state_dict()
        for segment in self.coded.segments:
            part = found[segment.name]
            levels = self._slices.whole(segment.name, torch.from_numpy(part.levels), self._shapes[segment.name]).numpy()
            quantized = Quantized(levels, part.step)
            (weights if segment.name in weights else vectors)[segment.coded_as] = quantized
            state[segment.name].copy_(torch.from_numpy(dequantize(quantized)))
        return FileLevels(weights, vectors)


def first_step(vector: Tensor, bits: int) -> float:
    """The step at which a vector's training begins.

    Its largest magnitude at these bits, but no more than `SPREAD` medians: one scale that is huge, as over a variance
    near zero, takes a high level and not the others' precision.

    Args:
        vector: (channels,).
        bits: Of a level.
    """
    magnitudes = vector.detach().abs()
    alive = magnitudes[magnitudes > 0]
    if not len(alive):
        return FIRST_STEP
    largest = torch.minimum(alive.max(), SPREAD * alive.median())
    return snap_step(float(largest) / (2 ** (bits - 1) - 1)) or FIRST_STEP


def _behind(level: Quantized, weight: Tensor) -> Tensor:
    """A v that rounds to a level, and lies on the side of it where the float weight does."""
    whole = torch.from_numpy(level.levels).to(weight)
    if not level.step:
        return whole
    return whole + (weight.detach() / level.step - whole).clamp(-INSIDE, INSIDE)


def _vectors(
    network: nn.Module, levels: Container[str], *, normalisations: bool = True
) -> list[tuple[str, str, nn.Parameter]]:
    """Name in the state dict, name in the file, and parameter of each bias and other vector, scale and shift."""
    layers = batchnorm_layers(network)
    found = []
    for name, parameter in network.named_parameters():
        coded_as = vector_name(name, layers)
        if coded_as != name:
            if normalisations:
                found.append((name, coded_as, parameter))
        elif name not in levels and parameter.is_floating_point():
            found.append((name, name, parameter))
    return found


def _zeros(parameter: nn.Parameter) -> Quantized:
    return Quantized(np.zeros(parameter.shape, np.int32), 0.0)
