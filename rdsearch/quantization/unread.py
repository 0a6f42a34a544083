"""Biases and normalisations that the outputs do not depend on, which a file need not hold.

Once every weight that reads a channel has been pruned, the channel's own bias, scale and shift are of no effect, and
training, which gives them no gradient, leaves them as they were; so with the weights of its row. They are found by that
gradient: exactly zero on some examples, and still zero when all that are in question are moved far away, each up or
down at random, several times, so that none is taken for unread because a channel on its way happens to be silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.quantization.inputs import TREATED
from rdsearch.quantization.uniform import Quantized

EXAMPLES = 16
"""Inputs that are looked at."""
_FAR = 10.0
"""How far parameters in question are moved at most, in largest magnitudes of the tensor."""
_MOVES = 8
"""Times that they are moved."""

Parameters = dict[str, Tensor]
Unread = dict[str, Tensor]
"""Name of a parameter to what is unread of it: boolean, of its shape."""


def forget_unread(network: nn.Module, levels: Mapping[str, Quantized], inputs: Any) -> dict[str, Quantized]:
    """Set to zero what no output depends on: entries of biases and normalisations, and the weights that lead there.

    Args:
        network: What decodes from ``levels``, with float biases and normalisations; changed in place.
        levels: Of each quantised weight.
        inputs: A batch on the network's device, of which a few are looked at: a tensor, a tuple (positional) or a
            mapping (by keyword). The outputs for these stay what they are, to the last bit; otherwise nothing is
            changed.

    Returns:
        The levels, zero in the rows of convolutions and linear layers whose bias is unread.
    """
    training = network.training
    network.eval()
    try:
        parameters = {name: parameter.detach() for name, parameter in network.named_parameters()}
        silenced = _silenced(network, parameters, _few(inputs))
    finally:
        network.train(training)
    with torch.no_grad():
        for name, values in silenced.items():
            network.get_parameter(name).copy_(values)
    return {name: _rounded(quantized, silenced.get(name)) for name, quantized in levels.items()}


def _rounded(quantized: Quantized, values: Tensor | None) -> Quantized:
    if values is None:
        return quantized
    return Quantized(np.where(values.cpu().numpy() == 0, 0, quantized.levels), quantized.step)


def _silenced(network: nn.Module, parameters: Parameters, inputs: Any) -> Parameters:
    """New values of the parameters in which something is unread; none where the outputs would change."""
    small = {name: parameter for name, parameter in parameters.items() if parameter.dim() < 2 and parameter.numel()}
    unread: Unread = {name: torch.ones_like(parameter, dtype=torch.bool) for name, parameter in small.items()}
    generator = torch.Generator().manual_seed(0)
    for far in (0.0, *[_FAR] * _MOVES):
        moved = {
            name: torch.where(mask, _moved(small[name], far, generator), small[name]) for name, mask in unread.items()
        }
        gradients = _gradients(network, parameters, moved, inputs)
        unread = {name: unread[name] & (gradient == 0) for name, gradient in gradients.items()}
        if not any(mask.any() for mask in unread.values()):
            return {}
    unread |= _rows(network, parameters, unread)
    silenced = {name: parameters[name].masked_fill(mask, 0.0) for name, mask in unread.items() if mask.any()}
    with torch.no_grad():
        before = _outputs(_call(network, parameters, inputs))
        after = _outputs(_call(network, parameters | silenced, inputs))
    return silenced if all(map(torch.equal, before, after)) else {}


def _moved(parameter: Tensor, far: float, generator: torch.Generator) -> Tensor:
    distances = (
        far
        * (1 + parameter.abs().max())
        * torch.empty(parameter.shape).uniform_(-1, 1, generator=generator).to(parameter)
    )
    return parameter + distances


def _rows(network: nn.Module, parameters: Parameters, unread: Unread) -> Unread:
    """The weights of convolutions and linear layers that lead to an unread bias of their own layer."""
    rows: Unread = {}
    for path, layer in network.named_modules():
        weight, mask = f"{path}.weight", unread.get(f"{path}.bias")
        if isinstance(layer, TREATED) and weight in parameters and mask is not None:
            rows[weight] = mask.reshape(-1, *[1] * (layer.weight.dim() - 1)).expand_as(layer.weight)
    return rows


def _gradients(network: nn.Module, parameters: Parameters, moved: Parameters, inputs: Any) -> Parameters:
    """Of a random combination of all outputs, by the moved parameters; empty where no output depends on any.

    Outputs without gradients (classes instead of logits, say) show nothing of what they depend on.
    """
    leaves = {name: parameter.clone().requires_grad_() for name, parameter in moved.items()}
    with torch.enable_grad():
        outputs = [out for out in _outputs(_call(network, parameters | leaves, inputs)) if out.requires_grad]
        if not outputs or not leaves:
            return {}
        generator = torch.Generator().manual_seed(0)
        weights = [torch.randn(out.shape, generator=generator).to(out) for out in outputs]
        found = torch.autograd.grad(outputs, list(leaves.values()), weights, allow_unused=True)
    return {
        name: torch.zeros_like(leaf) if gradient is None else gradient
        for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
    }


def _call(network: nn.Module, parameters: Parameters, inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return torch.func.functional_call(network, parameters, (), dict(inputs))
    return torch.func.functional_call(network, parameters, inputs if isinstance(inputs, tuple) else (inputs,))


def _few(inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return {name: _few(part) for name, part in inputs.items()}
    if isinstance(inputs, tuple):
        return tuple(map(_few, inputs))
    return inputs[:EXAMPLES]


def _outputs(output: Any) -> list[Tensor]:
    """The tensors in what a network returns."""
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, Mapping):
        output = output.values()
    elif not isinstance(output, tuple | list):
        return []
    return [tensor for part in output for tensor in _outputs(part)]
