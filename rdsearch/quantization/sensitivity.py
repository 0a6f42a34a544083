"""Steps by sensitivity: coarse where the outputs do not mind, fine where they do, at about the rate of a shared step.

An error e of a weight costs the outputs, squared, c e^2 on average, c the mean square of their derivatives by it. At a
high rate the least is lost, at any number of bits, where c step^2 is the same for all weights (Lagrangian bit
allocation, Shoham and Gersho 1988, "Efficient bit allocation for an arbitrary set of quantizers"). One backward pass of
random numbers z in the place of the outputs' gradient measures the c of all weights: E[(J' z)^2] is the diagonal of
J' J (Hutchinson 1990), and what is one tensor is averaged over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from rdsearch.base.device import doubles
from rdsearch.base.network.inputs import Inputs, count_examples, in_parts, some_examples
from rdsearch.base.network.modes import outputs_of
from rdsearch.base.randomness import isolated_rng
from rdsearch.errors import QuantizationError
from rdsearch.quantization.findings import Findings

EXPONENT = 0.75
"""Of the ratio of two steps' theory, which has them at a high rate: coarse steps want to be a little less apart.

On a small Llama, at the bytes of one step for all, `sequential` is 0.50 (0.75) and 0.50 (1) times as far from the float
network at 1.9 bits a weight, 0.53 and 0.54 times at 1.4."""
FARTHEST = 8.0
"""A step is at most so many times the shared one, and at least so small a part of it."""
EXAMPLES, AT_A_TIME = 256, 16
"""Examples that are looked at, at most, and those that share a backward pass."""


class Losses(dict[str, float]):
    """Of each weight what an error of 1 in one of its surviving values adds to the outputs' squared error."""

    nbytes = 0
    """A few numbers."""


def sensitive_steps(
    network: nn.Module, shared: Mapping[str, float], calibration: Sequence[Inputs], findings: Findings | None = None
) -> dict[str, float]:
    """The step of each weight.

    The geometric mean over all surviving weights is that of the steps given. A weight that no output depends on keeps
    its step, as nothing is known of it.

    Args:
        network: Float weights, pruned ones exactly zero; not changed.
        shared: Name of each weight to the step that it would have, were nothing known of its sensitivity.
        calibration: Inputs on the network's device.
        findings: What is known of the network by these inputs already.

    Raises:
        QuantizationError: There are no inputs, or outputs or derivatives are not finite, or there are no derivatives.
    """
    if not calibration:
        raise QuantizationError(
            "quantization.granularity: sensitivity looks at outputs, and there are no calibration inputs"
        )
    names = tuple(shared)
    find = partial(sensitivities, network, names, calibration[0])
    losses = (findings or Findings()).get(("sensitivities", names), network, find)
    sizes = {name: int(torch.count_nonzero(network.get_parameter(name).detach())) for name in shared}
    # Of an error of one shared step each.
    logs = {name: math.log(loss * shared[name] ** 2) for name, loss in losses.items() if loss and shared[name]}
    total = sum(sizes[name] for name in logs)
    middle = sum(logs[name] * sizes[name] for name in logs) / max(1, total)
    factors = {name: math.exp(EXPONENT / 2 * (middle - log)) for name, log in logs.items()}
    return {name: step * min(max(factors.get(name, 1.0), 1 / FARTHEST), FARTHEST) for name, step in shared.items()}


def sensitivities(network: nn.Module, names: Sequence[str], inputs: Inputs) -> Losses:
    """What an error of 1 in one surviving value of a weight adds to the outputs' squared error, on average.

    Args:
        network: In any mode; run in evaluation mode.
        names: The weights.
        inputs: On the network's device; the first `EXAMPLES` are looked at.

    Raises:
        QuantizationError: Outputs or derivatives are not finite, or there are no derivatives.
    """
    weights = [network.get_parameter(name) for name in names]
    alive = [weight.detach() != 0 for weight in weights]
    found = torch.zeros(len(names), dtype=torch.float64)
    few = some_examples(inputs, slice(EXAMPLES))
    with _differentiable(weights):
        for number, part in enumerate(in_parts(few, AT_A_TIME)):
            gradients = torch.autograd.grad(_probe(network, part, number), weights, allow_unused=True)
            for place, gradient in enumerate(gradients):
                if gradient is not None:
                    found[place] += float(doubles(gradient * alive[place]).square().sum())
    if not torch.isfinite(found).all():
        raise QuantizationError("the network's outputs are NaN or infinite in calibration; check the network")
    counts = [max(1, int(mask.sum())) * count_examples(few) for mask in alive]
    return Losses({name: float(one) / count for name, one, count in zip(names, found, counts, strict=True)})


def _probe(network: nn.Module, inputs: Inputs, number: int) -> Tensor:
    """All floating-point outputs times random numbers of mean square 1, added up."""
    outputs = [output for output in outputs_of(network, inputs) if output.requires_grad]
    if not outputs:
        raise QuantizationError(
            "quantization.granularity: sensitivity needs the derivatives of the outputs by the weights, and no output "
            "has any: take another granularity, or let the network compute its outputs without torch.no_grad"
        )
    with isolated_rng(number):
        products = [(output.float() * torch.randn_like(output, dtype=torch.float32)).sum() for output in outputs]
    return torch.stack(products).sum()


@contextmanager
def _differentiable(weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """Derivatives by these parameters, frozen ones among them, whatever the mode outside."""
    frozen = [weight for weight in weights if not weight.requires_grad]
    for weight in frozen:
        weight.requires_grad_(True)
    try:
        # Recurrent layers of cuDNN have no backward pass in evaluation mode.
        with torch.inference_mode(False), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        for weight in frozen:
            weight.requires_grad_(False)
