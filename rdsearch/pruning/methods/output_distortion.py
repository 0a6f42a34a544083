"""What pruning one layer does to the output of the whole network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.base.device import doubles
from rdsearch.base.network.inputs import Inputs, count_examples, forward, in_parts
from rdsearch.base.network.outputs import tensors_of
from rdsearch.errors import PruningError
from rdsearch.pruning.layers import Floats, Layers, Work
from rdsearch.pruning.ranking import highest_alive

# Shares of a layer's living weights at which the output is looked at; all of them have no distortion.
KEPT = (0.0, 0.01, 0.05, 0.13, 0.25, 0.4, 0.55, 0.75, 0.9)
# Examples that go through the network together: their activations stay in a processor's cache.
EXAMPLES_AT_A_TIME = 64


@dataclass(frozen=True)
class Curve:
    """Distortion of the network's output over the weights that one layer keeps, linear between the points.

    Attributes:
        counts: Weights kept, rising from 0 to all that are alive.
        distortions: Mean over the examples of the squared distance from the output of the network as it is; it falls
            to 0.
    """

    counts: Floats
    distortions: Floats

    def at(self, counts: Floats) -> Floats:
        """Distortions at some counts."""
        return np.asarray(np.interp(counts, self.counts, self.distortions))


def distortion_curves(work: Work) -> list[Curve]:
    """A curve for each layer: its smallest weights zeroed, all other layers left as they are.

    Takes ``len(KEPT)`` passes of the calibration inputs for each layer. The network is run, not traced, in evaluation
    mode, and is afterwards as it was.

    Raises:
        PruningError: There is no network or there are no inputs, or the network's outputs cannot be compared.
        TaskError: The inputs hold something else than tensors with one entry for each example.
    """
    network, inputs = _required(work)
    with _evaluating(network):
        reference = _outputs(network, inputs)
        return [_curve(network, inputs, reference, work.layers, index) for index in range(len(work.layers.names))]


def _required(work: Work) -> tuple[nn.Module, Inputs]:
    if work.network is None or work.inputs is None:
        raise PruningError("this method looks at the network's outputs: give prune() the network and inputs for it.")
    inputs = work.inputs()
    if count_examples(inputs) == 0:
        raise PruningError("the calibration inputs hold no examples. Give at least one.")
    return work.network, inputs


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    training = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in training.items():
            module.training = mode


def _curve(network: nn.Module, inputs: Inputs, reference: Tensor, layers: Layers, index: int) -> Curve:
    name, cap = layers.names[index], layers.caps[index]
    weight = network.get_parameter(name)
    whole, magnitudes = weight.detach().clone(), layers.magnitudes[index]
    counts = np.unique([*(round(share * cap) for share in KEPT), cap])
    distortions = np.zeros(counts.size)
    try:
        for place, count in enumerate(counts[:-1]):
            mask = highest_alive(magnitudes, layers.alive[index], int(count))
            weight.copy_(whole * torch.from_numpy(mask).reshape(whole.shape).to(whole.device))
            outputs = _outputs(network, inputs)
            distortions[place] = float((outputs - reference).square().sum()) / count_examples(inputs)
    finally:
        weight.copy_(whole)
    if not np.isfinite(distortions).all():
        raise PruningError(
            f"the network's outputs are NaN or infinite when {name} is pruned or as it is. Check the network on the "
            "training inputs, or skip the layer."
        )
    # More weights are never worse: what says otherwise is the noise of few examples.
    return Curve(counts.astype(np.float64), np.maximum.accumulate(distortions[::-1])[::-1])


def _outputs(network: nn.Module, inputs: Inputs) -> Tensor:
    """All floating-point outputs, float64: (examples, values)."""
    parts = in_parts(inputs, EXAMPLES_AT_A_TIME)
    return torch.cat([torch.cat(list(_flat(forward(network, part))), dim=1) for part in parts])


def _flat(output: Any) -> Iterator[Tensor]:
    found = [tensor for tensor in tensors_of(output) if tensor.is_floating_point() and tensor.dim() > 0]
    if not found:
        raise PruningError(
            f"the network returns {type(output).__name__} without a tensor of numbers; methods that look at the "
            "outputs need one, or a list, tuple or mapping of them. Take another pruning method."
        )
    for tensor in found:
        yield doubles(tensor).flatten(1) if tensor.dim() > 1 else doubles(tensor)[:, None]
