"""Biases and normalisations that the outputs do not depend on, which a file need not hold.

Once every weight that reads a channel has been pruned, the channel's own bias, scale and shift are of no effect, and
training, which gives them no gradient, leaves them as they were; so with the weights of its row. To find such
channels, something is added to each channel of the output of each convolution, linear layer and batch normalisation.
The gradient of what is added is exactly zero where nothing reads the channel: as it is, and also when the channels in
question are moved up or down at random, by amounts small and large, so that none is taken for unread because one on
its way happens to be silent. In the end all are moved at once on more examples, whose outputs must stay the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.base.network.inputs import Inputs, count_examples, some_examples
from rdsearch.base.network.modes import outputs_of
from rdsearch.base.network.outputs import tensors_of
from rdsearch.compression.packing.quantize import Decoded
from rdsearch.errors import TaskError
from rdsearch.quantization.batchnorm import BATCHNORM
from rdsearch.quantization.uniform import Quantized

_ROWS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Layers whose weights have a row, along the first axis, for each channel of their outputs."""
EXAMPLES = 32
"""Inputs that are looked at, but for large ones."""
_NUMBERS = 2**20
"""Numbers in the inputs that are looked at, at most: six images of 3 x 224 x 224."""
_CHECKED = 4
"""So many times as many inputs are looked at in the end, where they are given."""
_MOVES, _LAST_MOVES = 8, 4
"""Times that channels are moved to see their gradients, and in the end to see the outputs."""
_NEAR, _FAR = 0.1, 10.0
"""How far, in the largest magnitude of the layer's outputs: evenly in log."""

Unread = dict[str, Tensor]
"""Name of a layer to which of its output channels nothing reads: boolean, (channels,)."""


def forget_unread(decoded: Decoded, inputs: Inputs | None) -> Decoded:
    """Set to zero the bias and the row of weights, or the scale and shift, of every channel that nothing reads.

    Args:
        decoded: A network and its levels; the network is changed in place.
        inputs: A batch on the network's device, of which a few are looked at: a tensor, a tuple (positional) or a
            mapping (by keyword). The outputs for these stay what they are, to the last bit. Without any, so does the
            network.

    Returns:
        The network, and its levels, zero in the rows of convolutions and linear layers that nothing reads.
    """
    if inputs is None:
        return decoded
    network = decoded.network
    layers = _own_layers(network)
    try:
        with torch.enable_grad():
            unread = _find(network, layers, inputs)
    except Exception:  # of the network's own code: what cannot be run so, or not backwards, is kept whole
        return decoded
    rows = {
        f"{name}.{attribute}": mask
        for name, mask in unread.items()
        for attribute, _ in layers[name].named_parameters(recurse=False)
    }
    if rows and not _silenced(network, rows, _some(inputs, _CHECKED)):
        return decoded
    return replace(decoded, weights={name: _without(one, rows.get(name)) for name, one in decoded.weights.items()})


def _silenced(network: nn.Module, rows: Mapping[str, Tensor], inputs: Inputs) -> bool:
    """Set the rows of parameters to zero, if that leaves the outputs as they are."""
    parameters = {name: network.get_parameter(name) for name in rows}
    kept = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    with torch.no_grad():
        expected = outputs_of(network, inputs)
        for name, parameter in parameters.items():
            parameter[rows[name]] = 0.0
        if all(map(torch.equal, outputs_of(network, inputs), expected)):
            return True
        for name, parameter in parameters.items():
            parameter.copy_(kept[name])
    return False


def _without(quantized: Quantized, rows: Tensor | None) -> Quantized:
    if rows is None:
        return quantized
    levels = quantized.levels.copy()
    levels[rows.cpu().numpy()] = 0
    return Quantized(levels, quantized.step)


def _own_layers(network: nn.Module) -> dict[str, nn.Module]:
    """The layers that are looked at, by name, but for those that share a parameter with another."""
    owners = Counter(id(parameter) for _, parameter in network.named_parameters(remove_duplicate=False))
    return {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, (*_ROWS, *BATCHNORM)) and _has_rows(layer)
        if all(owners[id(parameter)] == 1 for parameter in layer.parameters(recurse=False))
    }


def _has_rows(layer: nn.Module) -> bool:
    """Whether each of its parameters has an entry along the first axis for each channel of its outputs."""
    shapes = {name: parameter.shape for name, parameter in layer.named_parameters(recurse=False)}
    return "weight" in shapes and all(shape[:1] == shapes["weight"][:1] for shape in shapes.values())


def _find(network: nn.Module, layers: Mapping[str, nn.Module], inputs: Inputs) -> Unread:
    """The layers with channels that nothing reads."""
    few = _some(inputs, 1)
    added = _Added(layers, _examples(few))
    outputs = added.run(network, few)
    if not all(output.requires_grad for output in outputs):
        return {}  # classes instead of logits, say: no gradient shows what they depend on
    unread = {name: torch.ones_like(values, dtype=torch.bool) for name, values in added.values.items()}
    for seed in range(_MOVES + 1):
        unread = added.without_gradient(outputs, unread)
        if not unread:
            return {}
        if seed < _MOVES:
            added.move(unread, seed)
            outputs = added.run(network, few)
    return unread if added.leaves(network, _some(inputs, _CHECKED), unread) else {}


class _Added:
    """What is added to the outputs of layers, zero at first.

    Args:
        layers: By name.
        examples: Layers that fewer reach, as their inputs are routed, are left out.

    Attributes:
        values: Name of each layer that is reached to what is added to its channels: (channels,).
    """

    def __init__(self, layers: Mapping[str, nn.Module], examples: int) -> None:
        self.values: dict[str, Tensor] = {}
        self._layers = layers
        self._examples = examples
        self._largest: dict[str, float] = {}

    def run(self, network: nn.Module, inputs: Inputs) -> list[Tensor]:
        """The network's outputs with it."""
        handles = [layer.register_forward_hook(partial(self._add, name)) for name, layer in self._layers.items()]
        try:
            return outputs_of(network, inputs)
        finally:
            for handle in handles:
                handle.remove()

    def _add(self, name: str, layer: nn.Module, _: object, output: Tensor) -> Tensor:
        if len(output) < self._examples:
            self._layers = {other: layer for other, layer in self._layers.items() if other != name}
            self.values.pop(name, None)
        if name not in self._layers:
            return output
        if name not in self.values:
            self.values[name] = output.new_zeros(len(layer.get_parameter("weight")), requires_grad=True)
            self._largest[name] = float(output.detach().abs().max())
        values = self.values[name]
        after = output.dim() - 1 if isinstance(layer, nn.Linear) else 1
        return output + values.reshape(-1, *[1] * (output.dim() - 1 - after))

    def without_gradient(self, outputs: list[Tensor], among: Unread) -> Unread:
        """The channels whose values no output depends on, where there are any."""
        names = [name for name in among if name in self.values]
        generator = torch.Generator().manual_seed(0)
        weights = [torch.randn(output.shape, generator=generator).to(output) for output in outputs]
        found = torch.autograd.grad(outputs, [self.values[name] for name in names], weights, allow_unused=True)
        masks = {
            name: among[name] & (gradient == 0)
            for name, gradient in zip(names, found, strict=True)
            if gradient is not None
        }
        return {name: mask for name, mask in masks.items() if mask.any()}

    def leaves(self, network: nn.Module, inputs: Inputs, unread: Unread) -> bool:
        """Whether the outputs stay the same, to the last bit, whatever is added to these channels."""
        with torch.no_grad():
            self.move({}, 0)
            expected = self.run(network, inputs)
            for seed in range(_MOVES, _MOVES + _LAST_MOVES):
                self.move(unread, seed)
                if not all(map(torch.equal, self.run(network, inputs), expected)):
                    return False
        return True

    def move(self, unread: Unread, seed: int) -> None:
        """Put other values where ``unread`` says so, and zero elsewhere."""
        generator = np.random.default_rng(seed)
        for name, values in self.values.items():
            sizes = self._largest[name] * np.exp(generator.uniform(np.log(_NEAR), np.log(_FAR), len(values)))
            moved = torch.from_numpy(sizes * generator.choice((-1, 1), len(values))).to(values)
            mask = unread.get(name, torch.zeros_like(values, dtype=torch.bool))
            self.values[name] = torch.where(mask, moved, 0.0).requires_grad_()


def _some(inputs: Inputs, times: int) -> Inputs:
    """A few of the examples, as many ``times`` as usual; all where it cannot be seen what an example is."""
    examples = _examples(inputs)
    if examples == 0:
        return inputs
    numbers = sum(tensor.numel() for tensor in tensors_of(inputs))
    count = max(1, min(EXAMPLES, _NUMBERS * examples // max(1, numbers)))
    return some_examples(inputs, slice(times * count))


def _examples(inputs: Inputs) -> int:
    """Examples in a batch; 0 where its tensors do not agree in their first axis."""
    try:
        return count_examples(inputs)
    except TaskError:
        return 0
