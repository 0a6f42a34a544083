"""Batch normalisation matched to the quantised weights, without gradients.

Quantised and pruned weights shift and shrink the statistics of every channel. Here each channel's mean and
deviation, measured on the same calibration images, are brought back to the float network's, and then the
network's own normalisation is applied. Re-estimating the running statistics outright would instead
replace them by those of the calibration images, which costs accuracy by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from rdsearch.base.device import of_doubles
from rdsearch.base.inputs import Inputs, count_examples, forward, in_parts
from rdsearch.errors import QuantizationError
from rdsearch.quantization.inputs import on_input

BATCHNORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_TENSORS = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d

_CACHED = 2**18
"""Values at a time whose squares are summed: few enough for a processor's cache."""

_AT_ONCE = 2**25
"""The same on a GPU, for which a kernel on few values takes as long as one on many."""

_EXAMPLES_AT_A_TIME = 64
"""Of the float network, whose layers do not wait for each other."""

_ROUNDING = 1e-6
"""Of a channel's mean: a deviation below this is what float32 makes of a constant."""


def batchnorm_layers(network: nn.Module) -> dict[str, BatchNorm]:
    """Batch-normalisation layers with running statistics and an affine part, by name, in the network's order.

    A subclass with tensors of its own is none of them: scale and shift are not all that it does.
    """
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, BATCHNORM) and set(module.state_dict()) == _TENSORS
    }


def scale_and_shift(layer: BatchNorm) -> tuple[Tensor, Tensor]:
    """The layer's inference-time map ``x * scale + shift``: two float tensors of shape (channels,)."""
    assert layer.running_mean is not None  # noqa: S101 - batchnorm_layers() gives only layers that have them
    assert layer.running_var is not None  # noqa: S101
    scale = layer.weight.detach() / torch.sqrt(layer.running_var + layer.eps)
    return scale, layer.bias.detach() - layer.running_mean * scale


def set_scale_and_shift(layer: BatchNorm, scale: Tensor, shift: Tensor) -> None:
    """Make ``x * scale + shift`` the layer's inference-time map; its running statistics become 0 and 1 - eps."""
    assert layer.running_mean is not None  # noqa: S101
    assert layer.running_var is not None  # noqa: S101
    with torch.no_grad():
        layer.weight.copy_(scale)
        layer.bias.copy_(shift)
        layer.running_mean.zero_()
        layer.running_var.fill_(1.0).sub_(layer.eps)


def match_statistics(network: nn.Module, reference: nn.Module, batches: Sequence[Inputs]) -> None:
    """Give every batch normalisation of ``network`` the map that restores ``reference``'s channel statistics.

    Layers are matched in one pass, each on inputs that the layers before it have already corrected.

    Args:
        network: The quantised network; its batch-normalisation layers are changed in place.
        reference: The float network of the same architecture; not changed.
        batches: Calibration inputs, on the networks' device. Statistics are over all of one batch, so
            one large batch is best; the maps found on several are averaged by their sizes.

    Raises:
        QuantizationError: There is a single example.
        TaskError: The inputs hold something else than tensors with one entry for each example.
    """
    layers = batchnorm_layers(network)
    if not layers or not batches:
        return
    require_several(batches)
    originals = {name: scale_and_shift(layer) for name, layer in batchnorm_layers(reference).items()}
    sums = {name: (torch.zeros_like(scale), torch.zeros_like(scale)) for name, (scale, _) in originals.items()}
    total = sum(map(count_examples, batches))
    training = network.training, reference.training
    network.eval()
    reference.eval()
    with torch.no_grad():  # a network may keep tensors, and is trained on
        for batch in batches:
            share = count_examples(batch) / total
            moments = _moments_of_layers(reference, batch)
            maps = _corrected_maps(network, layers, batch, moments, originals)
            for name, (scale, shift) in maps.items():
                sums[name][0].add_(scale, alpha=share)
                sums[name][1].add_(shift, alpha=share)
    network.train(training[0])
    reference.train(training[1])
    for name, layer in layers.items():
        set_scale_and_shift(layer, *sums[name])


def require_several(batches: Sequence[Inputs]) -> None:
    """Check that calibration inputs vary.

    Raises:
        QuantizationError: There is a single example, or none.
        TaskError: The inputs hold something else than tensors with one entry for each example.
    """
    count = sum(map(count_examples, batches))
    if count < 2:
        raise QuantizationError(
            f"the calibration set has {count} example{'' if count == 1 else 's'}, and statistics need at least 2. Give "
            "more training examples, or take a method that looks at none (uniform, rate_aware) with "
            "reestimate_batchnorm: false."
        )


def channel_moments(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel: inputs (batch, channels, ...)."""
    axes = [axis for axis in range(inputs.dim()) if axis != 1]
    mean = inputs.mean(axes)
    centre = mean.reshape(-1, *[1] * (inputs.dim() - 2))
    # torch's own variance takes several times as long on a CPU.
    squares = torch.zeros_like(mean, dtype=torch.float64, device=of_doubles(mean.device))
    at_once = _CACHED if inputs.device.type == "cpu" else _AT_ONCE
    for part in torch.split(inputs, max(1, at_once // max(1, inputs[0].numel()))):
        squares += (part - centre).square_().sum(axes).to(squares.device)
    variance = squares / (inputs.numel() / inputs.shape[1])
    return mean, variance.sqrt().to(mean)


def restoring_map(
    inputs: Tensor, wanted: tuple[Tensor, Tensor], original: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """The scale and shift that bring ``inputs`` to the wanted channel moments and then apply the original map.

    Args:
        inputs: (batch, channels, ...).
        wanted: Mean and standard deviation of each channel in the float network: two of shape (channels,).
        original: Scale and shift of the float network's layer: two of shape (channels,).
    """
    mean, deviation = channel_moments(inputs)
    wanted_mean, wanted_deviation = wanted
    # A dead channel has no deviation to restore, but for rounding: it keeps a gain of zero and its wanted mean.
    alive = deviation > (_ROUNDING * mean.abs()).clamp_min(1e-8)
    gain = torch.where(alive, wanted_deviation / deviation.clamp_min(1e-8), 0.0)
    scale, shift = original
    return scale * gain, shift + scale * (wanted_mean - gain * mean)


def _moments_of_layers(reference: nn.Module, batch: Inputs) -> dict[str, tuple[Tensor, Tensor]]:
    """Channel moments of what each batch normalisation is given, gathered in parts that need little memory."""
    of_part: dict[str, tuple[Tensor, Tensor]] = {}
    found: dict[str, list[tuple[float, Tensor, Tensor]]] = {}

    def record(name: str, inputs: Tensor) -> None:
        of_part[name] = channel_moments(inputs)

    total = count_examples(batch)
    for part in in_parts(batch, _EXAMPLES_AT_A_TIME):
        share = count_examples(part) / total
        _run_with_hooks(reference, part, record)
        for name, moments in of_part.items():
            found.setdefault(name, []).append((share, *moments))
    return {name: _pooled(parts) for name, parts in found.items()}


def _pooled(parts: Sequence[tuple[float, Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Mean and deviation of all parts together, given share, mean and deviation of each."""
    mean = torch.stack([share * mean for share, mean, _ in parts]).sum(0)
    squares = [share * (deviation.square() + (of_part - mean).square()) for share, of_part, deviation in parts]
    return mean, torch.stack(squares).sum(0).sqrt()


def _corrected_maps(
    network: nn.Module,
    layers: dict[str, BatchNorm],
    batch: Inputs,
    moments: dict[str, tuple[Tensor, Tensor]],
    originals: dict[str, tuple[Tensor, Tensor]],
) -> dict[str, tuple[Tensor, Tensor]]:
    maps: dict[str, tuple[Tensor, Tensor]] = {}

    def correct(name: str, inputs: Tensor) -> None:
        maps[name] = restoring_map(inputs, moments[name], originals[name])
        set_scale_and_shift(layers[name], *maps[name])

    _run_with_hooks(network, batch, correct)
    return maps


def _run_with_hooks(network: nn.Module, batch: Inputs, look: Callable[[str, Tensor], None]) -> None:
    """Call ``look`` with the name of each batch normalisation and what it is given."""
    handles = [on_input(layer, partial(look, name)) for name, layer in batchnorm_layers(network).items()]
    try:
        forward(network, batch)
    finally:
        for handle in handles:
            handle.remove()
