"""The weights that are alive, of all layers, as one vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn


class AliveLayer(NamedTuple):
    """A weight, and where it is alive: boolean, of its shape and on its device."""

    weight: nn.Parameter
    alive: Tensor


class Survivors:
    """Reads and writes the trainable weights that masks leave alive; m of them in all.

    Args:
        network: Where the weights are.
        masks: Name of each weight to its survivors, boolean, of its shape.

    Attributes:
        names: Weights with survivors that are trained, in order.
        layers: Those weights with their masks.
        counts: How many survivors each has; they sum to m.
    """

    def __init__(self, network: nn.Module, masks: Mapping[str, Tensor]) -> None:
        self.names = [name for name, mask in masks.items() if mask.any() and network.get_parameter(name).requires_grad]
        self.layers = [
            AliveLayer(weight, masks[name].to(weight.device))
            for name, weight in ((name, network.get_parameter(name)) for name in self.names)
        ]
        self._weights = [layer.weight for layer in self.layers]
        self._where = [layer.alive.flatten().nonzero().squeeze(1) for layer in self.layers]
        self.counts = [len(where) for where in self._where]

    def values(self) -> Tensor:
        """The weights: a copy, (m,), float32."""
        return self._gathered([weight.detach() for weight in self._weights])

    def gradients(self) -> Tensor:
        """Their gradients, zero where there are none: a copy, (m,), float32."""
        return self._gathered(
            [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in self._weights]
        )

    def put(self, values: Tensor) -> None:
        """Replace the weights: (m,)."""
        self._scatter([weight.detach() for weight in self._weights], values)

    def put_gradients(self, values: Tensor) -> None:
        """Replace the gradients where there are any: (m,)."""
        for weight, where, part in zip(self._weights, self._where, torch.split(values, self.counts), strict=True):
            if weight.grad is not None:
                weight.grad.put_(where, part)

    def root_mean_squares(self) -> Tensor:
        """For each weight the root mean square of its layer's survivors, above 0: (m,), float32."""
        layers = torch.split(self.values(), self.counts)
        tiny = torch.finfo(torch.float32).tiny
        units = [layer.square().mean().sqrt().clamp(min=tiny).expand(len(layer)) for layer in layers]
        return torch.cat(units) if units else torch.zeros(0)

    def _gathered(self, tensors: list[Tensor]) -> Tensor:
        parts = [tensor.take(where) for tensor, where in zip(tensors, self._where, strict=True)]
        return torch.cat(parts) if parts else torch.zeros(0)

    def _scatter(self, tensors: list[Tensor], values: Tensor) -> None:
        for tensor, where, part in zip(tensors, self._where, torch.split(values, self.counts), strict=True):
            tensor.put_(where, part)
