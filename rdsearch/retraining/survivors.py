"""The weights that are alive, of all layers, as one vector."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Survivors:
    """Reads and writes the trainable weights that masks leave alive; m of them in all.

    Args:
        network: Where the weights are.
        masks: Name of each weight to its survivors, boolean, of its shape.

    Attributes:
        names: Weights with survivors that are trained, in order.
        counts: How many each has; they sum to m.
    """

    def __init__(self, network: nn.Module, masks: Mapping[str, Tensor]) -> None:
        self.names = [name for name, mask in masks.items() if mask.any() and network.get_parameter(name).requires_grad]
        self._weights = [network.get_parameter(name) for name in self.names]
        self._where = [
            masks[name].to(weight.device).nonzero(as_tuple=True)
            for name, weight in zip(self.names, self._weights, strict=True)
        ]
        self.counts = [len(where[0]) for where in self._where]

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
                weight.grad[where] = part

    def root_mean_squares(self) -> Tensor:
        """For each weight the root mean square of its layer's survivors, above 0: (m,), float32."""
        layers = torch.split(self.values(), self.counts)
        tiny = torch.finfo(torch.float32).tiny
        units = [layer.square().mean().sqrt().clamp(min=tiny).expand(len(layer)) for layer in layers]
        return torch.cat(units) if units else torch.zeros(0)

    def _gathered(self, tensors: list[Tensor]) -> Tensor:
        parts = [tensor[where] for tensor, where in zip(tensors, self._where, strict=True)]
        return torch.cat(parts) if parts else torch.zeros(0)

    def _scatter(self, tensors: list[Tensor], values: Tensor) -> None:
        for tensor, where, part in zip(tensors, self._where, torch.split(values, self.counts), strict=True):
            tensor[where] = part
