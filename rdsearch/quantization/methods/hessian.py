"""Hessian-aware quantisation: each weight by the second moments that its inputs have in the float network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rdsearch.base.network.inputs import count_examples, forward, some_examples
from rdsearch.quantization.forms import Form
from rdsearch.quantization.inputs import parts
from rdsearch.quantization.method import Work, finish
from rdsearch.quantization.methods.rate_aware import round_others
from rdsearch.quantization.moments import Moments
from rdsearch.quantization.operations import Product
from rdsearch.quantization.treatment import calibration_batch, require_finite, solved, treated_weights
from rdsearch.quantization.uniform import Quantized
from rdsearch.quantization.watch import Seen, Watch, watching


def hessian(work: Work) -> dict[str, Quantized]:
    """Levels that keep every product of a weight near the float network's, at ``rate_weight`` a bit.

    Weights without products that calibration shows (embeddings, say) are rounded by rate.

    Raises:
        QuantizationError: There is not exactly one calibration batch, it gives values that are not finite, or a weight
            is not finite.
    """
    require_finite(work)
    names = tuple(name for name in work.steps if name not in work.plain)
    observed = work.findings.get(("moments", names), work.network, partial(_observe, work, names))
    treated = treated_weights(work, observed.seen)
    levels = {name: solved(work, one, observed.moments[name, one.form]) for name, one in treated.items()}
    levels |= round_others(work, levels)
    finish(work, levels)
    return levels


@dataclass(frozen=True)
class _Observed:
    """What the float network does with its weights, and the moments of their inputs by name and form."""

    seen: Seen
    moments: Mapping[tuple[str, Form], Moments]

    @property
    def nbytes(self) -> int:
        """Bytes of the moments."""
        return sum(one.nbytes for one in self.moments.values())


def _observe(work: Work, names: Sequence[str]) -> _Observed:
    """Moments of the inputs of all products, a part of the examples at a time: activations need little memory."""
    batch, weights = calibration_batch(work), work.weights()
    moments: dict[tuple[str, Form], Moments] = {}
    total = count_examples(batch)
    share, first = 1.0, 0

    def look(name: str, product: Product) -> None:
        key = name, product.form
        if key not in moments:
            moments[key] = Moments(product.form, weights[name])
        every = product.given.thinning(share)
        moments[key].add(product.given.columns(slice(None), every, first), group=product.group)

    watch = Watch(work.network, list(names), look)
    with watching(work.network, watch):
        for part, number in parts(total):
            inputs = some_examples(batch, part)
            share, first = count_examples(inputs) / total, number
            forward(work.network, inputs)
    return _Observed(watch.seen, moments)
