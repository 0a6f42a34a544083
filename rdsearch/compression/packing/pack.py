"""A float network to the bytes of its file, in one way down.

Float network and settings → levels of the weights → trained levels → what nothing reads left out → hidden units in the
cheapest order → vectors → file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from torch import nn

from rdsearch.base.network.inputs import Inputs
from rdsearch.coding.networkfile import NetworkFile, check_writable, encode_file
from rdsearch.compression.layout import layout_of
from rdsearch.compression.packing.contents import contents
from rdsearch.compression.packing.order import Order, cheapest_order
from rdsearch.compression.packing.progressive import coarser_networks
from rdsearch.compression.packing.quantize import Decoded, quantize
from rdsearch.compression.packing.unread import forget_unread
from rdsearch.config.recipe import QuantizationRecipe
from rdsearch.quantization.folding import folded
from rdsearch.quantization.method import copied
from rdsearch.quantization.uniform import Quantized
from rdsearch.retraining.rate.state import FileLevels, Size

LevelTrainer: TypeAlias = Callable[[nn.Module, nn.Module, Mapping[str, Quantized], Size], FileLevels]
"""From the network that decodes from levels, the float one, the levels, and what packs them, to better levels.

The first network is left as `pack` codes it."""


def pack(
    network: nn.Module,
    fresh_network: Callable[[], nn.Module],
    settings: QuantizationRecipe,
    calibration: Sequence[Inputs],
    *,
    network_id: str | None = None,
    recipe: Mapping[str, Any] | None = None,
    train_levels: LevelTrainer | None = None,
) -> bytes:
    """The ``.rdz`` file of a network.

    Args:
        network: Float weights, pruned ones exactly zero; not changed.
        fresh_network: Makes networks of the same architecture.
        settings: Method, steps and bits.
        calibration: Inputs on the network's device, for methods that look at the inputs of layers (in one
            batch) and for matching batch normalisation; the first few show which channels nothing reads.
        network_id: Registered id, which saves names and shapes.
        recipe: Stored in the file when given.
        train_levels: Trains the levels that the method has chosen, before they are coded.

    Raises:
        QuantizationError: A weight is not finite, the step is too small, the method lacks calibration inputs, or
            there is no batch normalisation to fold.
        FileFormatError: The network has more or larger tensors than a file holds.
        TaskError: The calibration inputs hold something else than tensors with one entry for each example.
        PruningError: A pattern of ``settings.plain`` or ``settings.step_multipliers`` matches no weight.
    """
    layout = layout_of(network)
    check_writable(layout)
    if settings.fold_batchnorm:
        network = folded(network, fresh_network)
    names = [entry.name for entry in layout.of("weight")]
    decoded = quantize(network, names, fresh_network, settings, calibration)
    first = calibration[0] if calibration else None

    def written(decoded: Decoded) -> tuple[NetworkFile, Order]:
        """In the cheapest order, into which the decoded network is put."""
        order = cheapest_order(decoded, first) if first is not None else Order()
        return contents(
            order.decoded(decoded), layout, settings.bias_bits, network_id, recipe, order.sorted_weights
        ), order

    def read(decoded: Decoded) -> Decoded:
        """Without what nothing reads."""
        if first is None:
            return decoded
        return replace(decoded, weights=forget_unread(decoded.network, decoded.weights, first))

    def size(whole: nn.Module, levels: FileLevels, last: bool = False) -> int:
        now = Decoded(copied(whole, fresh_network), dict(levels.weights), levels.vectors)
        return len(encode_file(written(read(now) if last else now)[0]))

    decoded = read(decoded)
    if train_levels is not None:
        trained = train_levels(decoded.network, network, decoded.weights, size)
        decoded = read(Decoded(decoded.network, dict(trained.weights), trained.vectors))
    file, order = written(decoded)
    network = order.network(network, fresh_network)
    matched = calibration if settings.reestimate_batchnorm else []
    coarser = coarser_networks(settings.layers, file, network, decoded.network, matched)
    return encode_file(file, coarser)
