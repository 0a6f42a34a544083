"""Sequential quantisation: each weight by the inputs that the weights quantised before it leave it.

A weight's target is then no more its float value W, but what best restores the float network's products y from the
inputs x that it really gets: W' = W + E[(y - W x) x'] (E[x x'] + rho I)^-1. As y = W x_float, this is the asymmetric
target W E[x_float x'] (E[x x'] + rho I)^-1, but for rho, which pulls towards W rather than towards zero.

What the float network makes of the calibration inputs is kept from one pass of it where it takes little memory. Else
the float network runs again, in lockstep with the quantised one.

What runs once is quantised when the calibration inputs reach it, in one pass of all. A weight with several products in
a pass (a head on several scales, an unrolled loop), whose inputs are not all known before it is needed, takes a pass in
which they are gathered, what comes before it quantised already and what comes after it still float.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain

from torch import Tensor

from rdsearch.base.network.inputs import forward
from rdsearch.quantization.batchnorm import PASSES, ChannelMoments, Matching, batchnorm_layers, scale_and_shift
from rdsearch.quantization.inputs import on_input
from rdsearch.quantization.lockstep import Key, Lockstep
from rdsearch.quantization.method import Work, copied
from rdsearch.quantization.methods.rate_aware import round_others
from rdsearch.quantization.moments import Moments
from rdsearch.quantization.operations import Product
from rdsearch.quantization.treatment import Treated, calibration_batch, require_finite, solved, treated_weights
from rdsearch.quantization.uniform import Quantized
from rdsearch.quantization.watch import Watch, watching

KEPT = 2**30
"""Bytes of what products should be that are kept at most."""


def sequential(work: Work) -> dict[str, Quantized]:
    """Levels chosen weight by weight while the calibration inputs pass through the quantised network.

    Weights without products that calibration shows (embeddings, say) are rounded by rate.

    Raises:
        QuantizationError: There is not exactly one calibration batch, it gives values that are not finite, or a weight
            is not finite.
    """
    require_finite(work)
    observed = _Observed(work)
    levels = round_others(work, observed.treated)
    # Their rows are inputs of what comes first, long before their own inputs are known.
    shared = {name: observed.treated.pop(name) for name in observed.shared if name in observed.treated}
    levels |= {name: solved(work, one, observed.shared[name]) for name, one in shared.items()}
    run = _Sequence(work, observed)
    run.through()
    # What the float network computes and the quantised one does not, its inputs being routed elsewhere.
    return levels | run.levels | round_others(work, levels | run.levels)


class _Observed:
    """What the float network's products are, and what its batch normalisations are given.

    Attributes:
        treated: The weights that are treated by their inputs, in the order in which they are used.
        products: Those to which the quantised network's correspond.
        wanted: What each of them should be, part by part; ``None`` where that is too much to keep.
        shared: Of those whose rows are looked up as well (output layers that share an embedding), the moments of their
            inputs.
        statistics: Of the batch normalisations.
        network: The float network; a copy of it where its weights are replaced and it has to run again.
        order: Names of both, those of normalisations ending in a dot, as they first run.
    """

    def __init__(self, work: Work) -> None:
        weights = work.weights()
        self.products: set[Key] = set()
        self.wanted: dict[Key, list[Tensor]] | None = {}
        self.shared: dict[str, Moments] = {}
        self.statistics: dict[str, ChannelMoments] = {}
        self.order: list[str] = []
        calls: dict[str, int] = {}
        kept = 0

        def answer(name: str, product: Product) -> None:
            nonlocal kept
            one = Treated(name, weights[name], product.form, None, False, 1)
            if watch.uses[name].looked_up is not None:
                moments = self.shared.setdefault(name, Moments(one.form, one.weight))
                for x in one.columns(product):
                    moments.add(x, group=product.group)
                return
            if name not in calls:
                self.order.append(name)
            key = name, calls.get(name, 0)
            calls[name] = key[1] + 1
            if product.routed:
                return
            self.products.add(key)
            if self.wanted is not None:
                self.wanted[key] = _outputs(one, product)
                kept += sum(part.nbytes for part in self.wanted[key])
                self.wanted = self.wanted if kept <= KEPT else None

        def measure(name: str, inputs: Tensor) -> None:
            if name not in self.statistics:
                self.order.append(f"{name}.")
            self.statistics.setdefault(name, ChannelMoments()).add(inputs)

        watch = Watch(work.network, [name for name in weights if name not in work.plain], answer)
        handles = [on_input(layer, partial(measure, name)) for name, layer in batchnorm_layers(work.network).items()]
        try:
            with watching(work.network, watch):
                forward(work.network, calibration_batch(work))
        finally:
            for handle in handles:
                handle.remove()
        self.treated = treated_weights(work, watch.seen)
        if self.wanted is not None:
            self.wanted = {key: outputs for key, outputs in self.wanted.items() if key[0] in self.treated}
        self.network = work.network
        if self.wanted is None and work.coarse is work.network:
            assert work.fresh_network is not None  # noqa: S101 - who gives one network for both says how others are made
            self.network = copied(work.network, work.fresh_network)


class _Sequence:
    """The quantised network as it comes to be.

    Attributes:
        levels: Of the weights that are quantised so far.
    """

    def __init__(self, work: Work, observed: _Observed) -> None:
        self.levels: dict[str, Quantized] = {}
        self._work, self._observed = work, observed
        self._gathered: dict[str, Moments] = {}
        self._calls: dict[str, int] = {}
        self._waiting: set[str] = set()
        self._beside: Lockstep | None = None
        layers = batchnorm_layers(work.coarse) if work.match_batchnorm else {}
        originals = {name: scale_and_shift(layer) for name, layer in batchnorm_layers(work.network).items()}
        self._matching = Matching(layers, observed.statistics if layers else {}, originals)

    def through(self) -> None:
        """All passes."""
        treated = self._observed.treated
        several = {name for name, one in treated.items() if one.calls > 1}
        several |= {f"{name}." for name in self._matching.several}
        pending = [name for name in self._observed.order if name in several]
        for stage in _stages(pending):
            rest = self._observed.order[self._observed.order.index(stage[0]) :]
            self._waiting = {name for name in rest if name in treated}
            self._pass({name for name in stage if name in treated})
            self._matching.finish_pass([name[:-1] for name in stage if name not in treated])
        self._waiting = set()
        self._pass(set())
        self._matching.finish_pass([])

    def _pass(self, gathering: set[str]) -> None:
        """One pass of the calibration inputs; weights that wait stay as they are, those gathered are then quantised."""
        treated = self._observed.treated
        self._gathered = {
            name: Moments(treated[name].form, treated[name].weight) for name in treated if name in gathering
        }
        self._calls = {}
        watch = Watch(self._work.coarse, list(treated), self._look)
        handles = [
            on_input(layer, partial(self._matching.look, name))
            for name, layer in (batchnorm_layers(self._work.coarse) if self._work.match_batchnorm else {}).items()
        ]
        try:
            with self._float_beside(), watching(self._work.coarse, watch):
                forward(self._work.coarse, calibration_batch(self._work))
        finally:
            for handle in handles:
                handle.remove()
        for name, moments in self._gathered.items():
            if name in self._calls:
                self._solve(name, moments)

    def _look(self, name: str, product: Product) -> None:
        call = self._calls.get(name, 0)
        self._calls[name] = call + 1
        treated = self._observed.treated[name]
        if name in self._gathered:
            self._add(self._gathered[name], treated, product, call)
        elif name not in self.levels and name not in self._waiting:
            moments = Moments(treated.form, treated.weight)
            self._add(moments, treated, product, call)
            self._solve(name, moments)

    def _add(self, moments: Moments, treated: Treated, product: Product, call: int) -> None:
        """Take in a product, with what it should be where it corresponds to one of the float network."""
        columns = list(treated.columns(product))
        wanted = self._wanted(treated, call)
        outputs = wanted if [len(one[0]) for one in wanted] == [x.shape[1] for x in columns] else [None] * len(columns)
        for x, one in zip(columns, outputs, strict=True):
            moments.add(x, one, product.group)

    def _wanted(self, treated: Treated, call: int) -> list[Tensor]:
        """What a product should be, part by part; none where there is none that it corresponds to."""
        if self._beside is None:
            return (self._observed.wanted or {}).get((treated.name, call), [])
        product = self._beside.product(treated.name, call)
        return [] if product is None else _outputs(treated, product)

    @contextmanager
    def _float_beside(self) -> Iterator[None]:
        """The float network in lockstep, where what its products are has not been kept."""
        if self._observed.wanted is not None:
            yield
            return
        waited = {key for key in self._observed.products if key[0] not in self.levels}
        with Lockstep(self._observed.network, waited, calibration_batch(self._work)) as self._beside:
            yield
        self._beside = None

    def _solve(self, name: str, moments: Moments) -> None:
        self.levels[name] = solved(self._work, self._observed.treated[name], moments)
        for call in range(self._calls[name]):
            (self._observed.wanted or {}).pop((name, call), None)


def _outputs(treated: Treated, product: Product) -> list[Tensor]:
    """What the float weight makes of a product's inputs, part by part."""
    return [treated.outputs(x, product.group) for x in treated.columns(product)]


def _stages(pending: list[str]) -> list[list[str]]:
    """What runs several times in at most `PASSES` runs of its order; of each the weights, then the normalisations."""
    size = max(1, -(-len(pending) // PASSES))
    runs = [pending[start : start + size] for start in range(0, len(pending), size)]
    apart = [
        [[name for name in run if not name.endswith(".")], [name for name in run if name.endswith(".")]] for run in runs
    ]
    return [stage for stage in chain(*apart) if stage]
