"""A float network to the bytes of its file, in one way down.

Float network and settings → levels of the weights → trained levels → what nothing reads left out → vectors → hidden
units in the cheapest order → file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from torch import nn

from rdsearch.base.network.inputs import Inputs
from rdsearch.base.patterns import require_weights
from rdsearch.coding.networkfile import check_writable, encode_file
from rdsearch.compression.layout import layout_of
from rdsearch.compression.packing.contents import contents
from rdsearch.compression.packing.order import cheapest_order
from rdsearch.compression.packing.progressive import coarser_networks
from rdsearch.compression.packing.quantize import Decoded, quantize
from rdsearch.compression.packing.sizes import Sizes
from rdsearch.compression.packing.unread import forget_unread
from rdsearch.config.recipe import QuantizationRecipe
from rdsearch.quantization.findings import Findings
from rdsearch.quantization.folding import folded
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
    keep: bool = True,
    findings: Findings | None = None,
) -> bytes:
    """The ``.rdz`` file of a network.

    Args:
        network: Float weights, pruned ones exactly zero; not changed where it is kept.
        fresh_network: Makes networks of the same architecture.
        settings: Method, steps and bits.
        calibration: Inputs on the network's device, for methods that look at the inputs of layers (in one
            batch) and for matching batch normalisation; the first few show which channels nothing reads.
        network_id: Registered id, which saves names and shapes.
        recipe: Stored in the file when given.
        train_levels: Trains the levels that the method has chosen, before they are coded.
        keep: Whether the network is needed afterwards. Where it is not, and nothing compares it with the decoded one,
            its memory serves for that.
        findings: What is known of the network, folded where the settings say so, by these inputs already.

    Raises:
        QuantizationError: A weight is not finite, the step is too small, the method lacks calibration inputs, or
            there is no batch normalisation to fold.
        FileFormatError: The network has more or larger tensors than a file holds.
        TaskError: The calibration inputs hold something else than tensors with one entry for each example.
        PruningError: A pattern of ``settings.plain`` or ``settings.step_multipliers`` matches no weight.
    """
    if settings.fold_batchnorm:
        network = folded(network, fresh_network)
    layout = layout_of(network)
    check_writable(layout)
    few = calibration[0] if calibration else None
    names = [entry.name for entry in layout.of("weight")]
    vectors = [name for name, _ in network.named_parameters() if name not in set(names)]
    require_weights(settings.plain, names, vectors, "quantization.plain")
    require_weights(settings.step_multipliers, names, vectors, "quantization.step_multipliers")
    spare = not keep and train_levels is None and settings.quality_layers == 1
    decoded = quantize(network, names, fresh_network, settings, calibration, in_place=spare, findings=findings)
    decoded = forget_unread(decoded, few)

    in_file = partial(contents, layout=layout, bias_bits=settings.bias_bits, network_id=network_id, recipe=recipe)

    if train_levels is not None:
        trained = train_levels(decoded.network, network, decoded.weights, Sizes(fresh_network, few, in_file))
        decoded = forget_unread(Decoded(decoded.network, dict(trained.weights), trained.vectors), few)
    order, file = cheapest_order(decoded, few), in_file(decoded)
    if settings.quality_layers == 1:
        return encode_file(order.file(file))
    matched = calibration if settings.reestimate_batchnorm else []
    coarser = coarser_networks(settings.quality_layers, file, network, decoded.network, matched)
    return encode_file(order.file(file), [order.refinement(one, file) for one in coarser])
