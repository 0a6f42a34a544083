"""Sizes of a file that is being trained: really packed, many times, with no more work than a size takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from torch import nn

from rdsearch.base.network.channels import Channels
from rdsearch.base.network.inputs import Inputs
from rdsearch.coding.networkfile import NetworkFile, encode_file
from rdsearch.compression.packing.order import cheapest_order, order_of
from rdsearch.compression.packing.quantize import Decoded
from rdsearch.compression.packing.unread import forget_unread
from rdsearch.quantization.method import copied
from rdsearch.quantization.uniform import Quantized
from rdsearch.retraining.rate.state import FileLevels


class Sizes:
    """Packs a network that is being trained, see `rdsearch.retraining.rate.state.Size`.

    Which channels may be permuted is a matter of the architecture: it is seen by running the network once, and again
    for each file that is packed as in the end. The others only sort the same channels by their levels.

    Args:
        fresh_network: Makes networks of its architecture.
        inputs: A batch on its device, of which a few are looked at; without any, nothing is permuted or left out.
        contents: What is in the file of a decoded network.
    """

    def __init__(
        self,
        fresh_network: Callable[[], nn.Module],
        inputs: Inputs | None,
        contents: Callable[[Decoded], NetworkFile],
    ) -> None:
        self._fresh_network = fresh_network
        self._inputs = inputs
        self._contents = contents
        self._permuted: Sequence[Channels] | None = None

    def __call__(self, whole: nn.Module, levels: FileLevels, last: bool = False) -> int:
        """The bytes of the file."""
        decoded = Decoded(whole, dict(levels.weights), levels.vectors)
        if last:
            decoded = forget_unread(replace(decoded, network=copied(whole, self._fresh_network)), self._inputs)
        if self._permuted is None or last:
            order = cheapest_order(decoded, self._inputs)
            # The outputs of a network that is all zero say nothing about where its channels may stand.
            self._permuted = [one.channels for one in order.permutations] if _says_something(levels.weights) else None
        else:
            order = order_of(self._permuted, decoded.weights)
        return len(encode_file(order.file(self._contents(decoded))))


def _says_something(weights: Mapping[str, Quantized]) -> bool:
    return any(quantized.levels.any() for quantized in weights.values())
