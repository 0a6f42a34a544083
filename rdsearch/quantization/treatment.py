"""What a method that looks at inputs does with each weight: treated by them, or rounded by rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rdsearch.base.network.inputs import Inputs
from rdsearch.errors import QuantizationError
from rdsearch.quantization.batchnorm import require_several
from rdsearch.quantization.forms import Form
from rdsearch.quantization.inputs import parts
from rdsearch.quantization.method import Work
from rdsearch.quantization.moments import Moments
from rdsearch.quantization.operations import Product
from rdsearch.quantization.solver.solve import solve
from rdsearch.quantization.uniform import Quantized
from rdsearch.quantization.watch import Seen, Use


@dataclass(frozen=True)
class Treated:
    """A weight that is treated by its inputs.

    Attributes:
        name: In the state dict.
        weight: The float weight.
        form: How it is matrices.
        bias: Name of what is added to its products alone, which makes up for their mean; ``None`` for nothing.
        restored: Whether the products keep their mean whatever the levels: by the bias, or by the batch normalisation
            next, matched to the float network's.
        calls: Products in a forward pass.
    """

    name: str
    weight: Tensor
    form: Form
    bias: str | None
    restored: bool
    calls: int

    def columns(self, product: Product) -> Iterator[Tensor]:
        """The inputs of a product of this weight part by part, (groups or 1, positions, columns), thinned out."""
        every = product.given.thinning()
        for part, number in parts(len(product.given)):
            yield product.given.columns(part, every, number)

    def outputs(self, x: Tensor, group: int | None) -> Tensor:
        """What the float weight makes of inputs: (groups, positions, rows)."""
        matrices = self.form.matrices(self.weight.detach().float())
        return x @ (matrices if group is None else matrices[group : group + 1]).mT


def solved(work: Work, treated: Treated, moments: Moments) -> Quantized:
    """Levels of a weight by the moments of its inputs, also in ``work.coarse``, with a bias that fits them.

    Raises:
        QuantizationError: The inputs are not finite, or the step is too small.
    """
    return solve(work, treated.name, treated.form, treated.weight, treated.bias, moments, treated.restored)


def treated_weights(work: Work, seen: Seen) -> dict[str, Treated]:
    """The weights of the float network that can be treated by their inputs, in the order in which they are used.

    Args:
        work: What is quantised.
        seen: What the float network was seen to do.
    """
    weights = work.weights()
    counts = {name: sum(use.biases == {name} for use in seen.uses.values()) for name in _biases(seen)}
    found: dict[str, Treated] = {}
    for name, use in seen.uses.items():
        if use.form is None or name in work.plain:
            continue
        bias = next(iter(use.biases)) if len(use.biases) == 1 else None
        bias = bias if bias is not None and counts[bias] == 1 and work.network.get_parameter(bias).dim() == 1 else None
        restored = bias is not None or (work.match_batchnorm and _normalised(use, seen.normalisations))
        found[name] = Treated(name, weights[name], use.form, bias, restored, use.calls)
    return found


def why_not(use: Use | None) -> str:
    """Why a weight is not treated by its inputs, in words."""
    if use is None:
        return "no product of it is seen"
    if use.looked_up is not None and not use.forms:
        return "looked up"
    if use.otherwise:
        return f"used by {', '.join(sorted(use.otherwise))}"
    return "used as different matrices"


def _biases(seen: Seen) -> set[str]:
    return {bias for use in seen.uses.values() for bias in use.biases if bias is not None}


def _normalised(use: Use, normalisations: Mapping[str, int]) -> bool:
    """Whether every product goes to one and the same batch normalisation, which is given nothing else."""
    layers = set(use.normalised)
    return len(layers) == 1 and len(use.normalised) == use.calls == normalisations[layers.pop()]


def require_finite(work: Work) -> None:
    """Check the weights.

    Raises:
        QuantizationError: One is NaN or infinite.
    """
    for name, weight in work.weights().items():
        if not torch.isfinite(weight).all():
            raise QuantizationError(f"{name} has NaN or infinite values; the network cannot be quantised")


def calibration_batch(work: Work) -> Inputs:
    """The one batch of calibration inputs.

    Raises:
        QuantizationError: There is none, there are several, or it holds a single example.
        TaskError: It holds something else than tensors with one entry for each example.
    """
    if len(work.batches) != 1:
        raise QuantizationError(
            f"{len(work.batches)} batches of calibration inputs are given: a method that looks at the inputs of "
            "layers needs all of them in one batch"
        )
    require_several(work.batches)
    return work.batches[0]
