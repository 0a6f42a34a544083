"""Hidden units in the order that costs least: a network whose hidden channels are permuted is the same function.

The rows of a weight are sorted lexicographically by the magnitudes of their levels, large ones first: then a row says
much about the next one, dead rows are the last, and what the order forbids is not coded. The order is a file's alone:
the network that a trial goes on with, its masks and its checkpoints stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.base.network.channels import Axis, Channels, joined_channels
from rdsearch.base.network.inputs import Inputs, count_examples, some_examples
from rdsearch.base.network.modes import outputs_of
from rdsearch.coding.layout import Layout
from rdsearch.coding.networkfile import NetworkFile
from rdsearch.coding.progressive import Refinement
from rdsearch.compression.packing.quantize import Decoded
from rdsearch.quantization.batchnorm import vector_name
from rdsearch.quantization.uniform import Quantized

COARSE = 5
"""Larger magnitudes count as this one in the order."""
EXAMPLES = 8
"""Inputs whose outputs are compared before and after."""
TOLERANCE = 1e-4
"""How far outputs may be apart, as a share of the largest one: sums of floats differ with the order of their terms."""


@dataclass(frozen=True)
class Permutation:
    """Another order of one set of joined channels.

    Attributes:
        channels: The set.
        order: The present numbers of its channels in their new order.
        rows: The weight whose rows are sorted.
        lexicographic: They descend so over the whole weight; else only their sums do, in parts of it.
    """

    channels: Channels
    order: Tensor
    rows: str
    lexicographic: bool


@dataclass(frozen=True)
class Order:
    """Permutations of the channels of a network, in the order in which they are done."""

    permutations: Sequence[Permutation] = ()

    @property
    def sorted_weights(self) -> list[str]:
        """The weights whose rows descend lexicographically."""
        return [one.rows for one in self.permutations if one.lexicographic]

    @property
    def sorted_in_parts(self) -> list[str]:
        """The weights whose rows are sorted within heads or gates."""
        return list(dict.fromkeys(one.rows for one in self.permutations if not one.lexicographic))

    def file(self, file: NetworkFile) -> NetworkFile:
        """What is in a file, in this order."""
        if not self.permutations:
            return file
        weights, vectors, buffers = dict(file.weights), dict(file.vectors), dict(file.buffers)
        for one in self.permutations:
            for name, axis in _named(one.channels, file.layout):
                for levels in (weights, vectors):
                    if name in levels:
                        levels[name] = _permuted(levels[name][0], axis, one.order), levels[name][1]
                if name in buffers:
                    buffers[name] = _permuted(buffers[name], axis, one.order)
        return replace(
            file,
            weights=weights,
            vectors=vectors,
            buffers=buffers,
            ordered=self.sorted_weights,
            sorted_in_parts=self.sorted_in_parts,
        )

    def refinement(self, refinement: Refinement, file: NetworkFile) -> Refinement:
        """A quality layer of a file, in this order."""
        vectors = dict(zip(file.vectors, refinement.vectors, strict=True))
        for one in self.permutations:
            for name, axis in _named(one.channels, file.layout):
                if name in vectors:
                    vectors[name] = _permuted(vectors[name], axis, one.order)
        return replace(refinement, vectors=list(vectors.values()))

    def undone(self) -> Order:
        """The order that takes a network back from this one."""
        return Order([replace(one, order=torch.argsort(one.order)) for one in reversed(self.permutations)])

    def put(self, network: nn.Module) -> None:
        """Put a network into this order, in place."""
        state = network.state_dict()
        with torch.no_grad():
            for one in self.permutations:
                for axis in one.channels.axes:
                    state[axis.tensor].copy_(axis.permuted(state[axis.tensor], one.order))


def cheapest_order(decoded: Decoded, inputs: Inputs | None) -> Order:
    """The order of hidden channels in which a network costs least.

    Args:
        decoded: A network and its levels; not changed.
        inputs: A batch on the network's device, of which a few are looked at: whatever changes the outputs for these by
            more than rounding is left as it is. Without any, everything is.
    """
    if inputs is None:
        return Order()
    try:
        few = _some(inputs)
        found = joined_channels(decoded.network, few)
        with torch.no_grad():
            outputs = outputs_of(decoded.network, few)
    except Exception:  # of the network's own code: what cannot be run so is left as it is
        return Order()
    with torch.no_grad():
        order = order_of(found, decoded.weights)
        if _keeps(outputs, decoded.network, order, few):
            return order
        kept = Order()
        for channels in found:
            # One after the other: a weight's columns are permuted before its rows are sorted by them.
            candidate = order_of([*(one.channels for one in kept.permutations), channels], decoded.weights)
            if _keeps(outputs, decoded.network, candidate, few):
                kept = candidate
        return kept


def _named(channels: Channels, layout: Layout) -> Iterator[tuple[str, Axis]]:
    """The axes of a set of channels, and what the file calls the tensor of each."""
    normalisations = [entry.name for entry in layout.of("batchnorm")]
    return ((vector_name(axis.tensor, normalisations), axis) for axis in channels.axes)


def order_of(found: Sequence[Channels], weights: Mapping[str, Quantized]) -> Order:
    """The order of these channels in which weights cost least; whether the outputs stay the same is not looked at.

    Args:
        found: Sets of joined channels.
        weights: Levels of every weight, by name.
    """
    levels = {name: quantized.levels for name, quantized in weights.items()}
    permutations: list[Permutation] = []
    # Those that are sorted in parts come first: they permute columns of weights whose rows are sorted by them.
    for channels in sorted(found, key=lambda channels: _whole_rows(channels, levels) is not None):
        whole = _whole_rows(channels, levels)
        rows = whole or next((axis.tensor for axis in channels.written if axis.tensor in levels), None)
        if rows is None or (whole is None and channels.removable):
            continue
        by = lexicographic(levels[rows]) if whole else densest(channels, levels)
        order = torch.from_numpy(by)
        permutations.append(Permutation(channels, order, rows, lexicographic=whole is not None))
        for axis in channels.axes:
            if axis.tensor in levels:
                levels[axis.tensor] = _permuted(levels[axis.tensor], axis, order)
    return Order(permutations)


def _whole_rows(channels: Channels, levels: Mapping[str, np.ndarray]) -> str | None:
    """The first weight whose rows are these channels, one each."""
    rows = (axis.tensor for axis in channels.written if axis.axis == 0 and axis.plain and axis.repeat == 1)
    return next((tensor for tensor in rows if tensor in levels), None)


def lexicographic(levels: np.ndarray) -> np.ndarray:
    """The order of rows in which their magnitudes descend lexicographically, those of `COARSE` and more being alike."""
    magnitudes = np.abs(np.clip(levels.reshape(len(levels), -1), -COARSE, COARSE))
    rows = np.ascontiguousarray(COARSE + 1 - magnitudes, np.uint8)
    # As strings of bytes, none of them zero, which compare from the left.
    return np.argsort(rows.view(f"S{rows.shape[1]}").reshape(-1), kind="stable")


def densest(channels: Channels, levels: Mapping[str, np.ndarray]) -> np.ndarray:
    """The order of channels in which the sums of their weights' magnitudes descend, large ones counting as `COARSE`."""
    sums = np.zeros(channels.count, np.int64)
    numbers = torch.arange(channels.count)
    for axis in channels.axes:
        if axis.tensor in levels:
            magnitudes = np.minimum(np.abs(levels[axis.tensor].astype(np.int64)), COARSE)
            entries = np.moveaxis(magnitudes, axis.axis, 0)[axis.entries(numbers).numpy()]
            sums += entries.reshape(axis.blocks, channels.count, -1).sum((0, 2))
    return np.argsort(-sums, kind="stable")


def _permuted(levels: np.ndarray, axis: Axis, order: Tensor) -> np.ndarray:
    return np.ascontiguousarray(np.take(levels, axis.order(order, levels.shape[axis.axis]).numpy(), axis.axis))


def _keeps(outputs: Sequence[Tensor], network: nn.Module, order: Order, inputs: Inputs) -> bool:
    """Whether a network in another order gives the same outputs, but for rounding; it is put into its own again."""
    order.put(network)
    try:
        found = outputs_of(network, inputs)
    finally:
        order.undone().put(network)
    return len(found) == len(outputs) and all(map(_close, outputs, found))


def _close(before: Tensor, after: Tensor) -> bool:
    if before.shape != after.shape or not before.is_floating_point():
        return torch.equal(before, after)
    largest = float(before.abs().max()) if before.numel() else 0.0
    return bool(((before - after).abs() <= TOLERANCE * largest).all())


def _some(inputs: Inputs) -> Inputs:
    return some_examples(inputs, slice(min(EXAMPLES, count_examples(inputs))))
