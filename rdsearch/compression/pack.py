"""A float network to the bytes of its file, in one way down.

Float network and settings → levels of the weights → trained levels → what nothing reads left out → hidden units in the
cheapest order → vectors → file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from torch import nn

from rdsearch.base.inputs import Inputs
from rdsearch.coding.networkfile import check_writable, encode_file
from rdsearch.compression.contents import contents
from rdsearch.compression.layout import layout_of
from rdsearch.compression.order import cheapest_order
from rdsearch.compression.progressive import coarser_networks
from rdsearch.compression.quantize import Decoded, quantize
from rdsearch.compression.unread import forget_unread
from rdsearch.config.recipe import QuantizationRecipe
from rdsearch.quantization.folding import folded
from rdsearch.quantization.uniform import Quantized

LevelTrainer: TypeAlias = Callable[[nn.Module, Mapping[str, Quantized]], dict[str, Quantized]]
"""From the network that decodes from levels, and these, to better levels; the network is left as `pack` codes it."""


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
    if train_levels is not None:
        decoded = Decoded(decoded.network, train_levels(decoded.network, decoded.weights))
    ordered: Sequence[str] = ()
    if calibration:
        decoded = Decoded(decoded.network, forget_unread(decoded.network, decoded.weights, calibration[0]))
        order = cheapest_order(decoded, calibration[0])
        decoded, network, ordered = order.decoded(decoded), order.network(network, fresh_network), order.sorted_weights
    file = contents(decoded, layout, settings.bias_bits, network_id, recipe, ordered)
    matched = calibration if settings.reestimate_batchnorm else []
    coarser = coarser_networks(settings.layers, file, network, decoded.network, matched)
    return encode_file(file, coarser)
