"""Batch normalisation matched to the quantised weights, without gradients.

Quantised and pruned weights shift and shrink the statistics of every channel. Here each channel's mean and
deviation, measured on the same calibration images, are brought back to the float network's, and then the
network's own normalisation is applied. Re-estimating the running statistics outright would instead
replace them by those of the calibration images, which costs accuracy by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from rdsearch.base.device import doubles, of_doubles
from rdsearch.base.network.inputs import Inputs, count_examples, in_parts
from rdsearch.base.network.modes import forward_in_use
from rdsearch.errors import QuantizationError
from rdsearch.quantization.inputs import on_input

BATCHNORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_TENSORS = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
_FILE_NAMES = {"weight": "scale", "bias": "shift"}
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm

_CACHED = 2**18
"""Values at a time whose squares are summed: few enough for a processor's cache."""

_AT_ONCE = 2**25
"""The same on a GPU, for which a kernel on few values takes as long as one on many."""

PASSES = 8
"""Of calibration inputs, at most, for layers that run several times in one pass."""

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


def vector_name(name: str, layers: Container[str]) -> str:
    """What a file calls a vector of the state dict: scale and shift are those of the normalisation's map.

    Args:
        name: In the state dict.
        layers: Names of the batch normalisations.
    """
    layer, _, attribute = name.rpartition(".")
    if layer not in layers:
        return name
    return f"{layer}.{_FILE_NAMES.get(attribute, attribute)}"


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

    Layers that run once are matched in one pass, each on inputs that the layers before it have already corrected. The
    statistics of one that runs several times are those of all its inputs, known at the end of a pass: so many of them,
    so many passes, up to `PASSES`. A layer that does not run, or not as often as in ``reference``, is left alone.

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
    with torch.no_grad():  # a network may keep tensors, and is trained on
        for batch in batches:
            for name, layer in layers.items():
                set_scale_and_shift(layer, *originals[name])
            matching = Matching(layers, _moments_of_layers(reference, batch), originals)
            for _ in range(matching.passes + 1):
                _run_with_hooks(network, batch, matching.look)
                matching.finish_pass()
            for name, layer in layers.items():
                for found, one in zip(sums[name], scale_and_shift(layer), strict=True):
                    found.add_(one, alpha=count_examples(batch) / total)
    for name, layer in layers.items():
        set_scale_and_shift(layer, *sums[name])


class ChannelMoments:
    """Mean and deviation of each channel over all that is added.

    Attributes:
        calls: How often something has been added.
    """

    def __init__(self) -> None:
        self.calls = 0
        self._count = 0
        self._mean: Tensor | None = None
        self._squares: Tensor | None = None

    def add(self, inputs: Tensor) -> None:
        """Take in (batch, channels, ...)."""
        self.calls += 1
        count = inputs.numel() // max(1, inputs.shape[1])
        if count == 0:
            return
        mean, deviation = channel_moments(inputs)
        squares = count * doubles(deviation).square()
        if self._mean is None or self._squares is None:
            self._mean, self._squares, self._count = mean, squares, count
            return
        # Chan, Golub and LeVeque 1979: sums of squares around two means, joined.
        shift = doubles(mean) - doubles(self._mean)
        share = count / (self._count + count)
        self._squares += squares + shift.square() * self._count * share
        self._mean = (doubles(self._mean) + shift * share).to(mean)
        self._count += count

    @property
    def found(self) -> tuple[Tensor, Tensor] | None:
        """Two of shape (channels,); ``None`` where nothing was there."""
        if self._mean is None or self._squares is None:
            return None
        return self._mean, (self._squares / self._count).sqrt().to(self._mean)


class Matching:
    """Batch normalisations matched while their network runs.

    Args:
        layers: Of the quantised network, by name; changed.
        wanted: What the float network's are given.
        originals: Scale and shift of the float network's.

    Attributes:
        several: Layers that run several times, in the order in which they first run in the float network.
    """

    def __init__(
        self,
        layers: Mapping[str, BatchNorm],
        wanted: Mapping[str, ChannelMoments],
        originals: Mapping[str, tuple[Tensor, Tensor]],
    ) -> None:
        self._layers, self._wanted, self._originals = layers, wanted, originals
        self.several = [name for name, moments in wanted.items() if moments.calls > 1]
        self._seen: dict[str, ChannelMoments] = {}

    @property
    def passes(self) -> int:
        """After so many, what runs several times is matched."""
        return min(len(self.several), PASSES)

    def look(self, name: str, inputs: Tensor) -> None:
        """Take in what a layer is given; one that runs once is matched there and then."""
        seen = self._seen.setdefault(name, ChannelMoments())
        seen.add(inputs)
        if name in self._wanted and self._wanted[name].calls == 1 == seen.calls:
            self._match(name, seen)

    def finish_pass(self, names: Iterable[str] | None = None) -> None:
        """Match the layers that run several times, or these of them, by what the pass has shown; start anew."""
        for name in self.several if names is None else names:
            seen = self._seen.get(name)
            if seen is not None and seen.calls == self._wanted[name].calls:
                self._match(name, seen)
        for name, layer in self._layers.items():
            if name in self._wanted and self._calls(name) != self._wanted[name].calls:
                set_scale_and_shift(layer, *self._originals[name])
        self._seen = {}

    def _match(self, name: str, seen: ChannelMoments) -> None:
        wanted, found = self._wanted[name].found, seen.found
        if wanted is not None and found is not None:
            set_scale_and_shift(self._layers[name], *restoring_map(found, wanted, self._originals[name]))

    def _calls(self, name: str) -> int:
        return self._seen[name].calls if name in self._seen else 0


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
    found: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor], original: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """The scale and shift that bring channels to the wanted moments and then apply the original map.

    Args:
        found: Mean and standard deviation of each channel: two of shape (channels,).
        wanted: Those in the float network.
        original: Scale and shift of the float network's layer: two of shape (channels,).
    """
    mean, deviation = found
    wanted_mean, wanted_deviation = wanted
    # A dead channel has no deviation to restore, but for rounding: it keeps a gain of zero and its wanted mean.
    alive = deviation > (_ROUNDING * mean.abs()).clamp_min(1e-8)
    gain = torch.where(alive, wanted_deviation / deviation.clamp_min(1e-8), 0.0)
    scale, shift = original
    return scale * gain, shift + scale * (wanted_mean - gain * mean)


def _moments_of_layers(reference: nn.Module, batch: Inputs) -> dict[str, ChannelMoments]:
    """Channel moments of what each batch normalisation is given, gathered in parts that need little memory."""
    found: dict[str, ChannelMoments] = {}
    parts = 0
    for part in in_parts(batch, _EXAMPLES_AT_A_TIME):
        _run_with_hooks(reference, part, lambda name, inputs: found.setdefault(name, ChannelMoments()).add(inputs))
        parts += 1
    for moments in found.values():
        moments.calls = -(-moments.calls // parts)
    return found


def _run_with_hooks(network: nn.Module, batch: Inputs, look: Callable[[str, Tensor], None]) -> None:
    """Call ``look`` with the name of each batch normalisation and what it is given."""
    handles = [on_input(layer, partial(look, name)) for name, layer in batchnorm_layers(network).items()]
    try:
        forward_in_use(network, batch)
    finally:
        for handle in handles:
            handle.remove()
