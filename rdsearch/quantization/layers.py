"""The layers that a method which looks at inputs can treat, and what is known of them before anything is quantised."""

from __future__ import annotations

import weakref
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from rdsearch.base.inputs import Inputs, forward, some_examples
from rdsearch.errors import QuantizationError
from rdsearch.quantization.batchnorm import batchnorm_layers, require_several
from rdsearch.quantization.inputs import TREATED, Layer, on_input
from rdsearch.quantization.method import Work
from rdsearch.quantization.moments import Moments
from rdsearch.quantization.solver.solve import solve
from rdsearch.quantization.uniform import Quantized

BY_RATE = (nn.Embedding, nn.EmbeddingBag, nn.MultiheadAttention)
"""Their weights are rounded by rate: they have no inputs of their own to look at."""


@dataclass(frozen=True)
class Treatment:
    """What a method that looks at the inputs of layers knows before it begins.

    Attributes:
        work: What is quantised.
        layers: The layers that it treats, by the weight's name.
        batch: The calibration inputs.
        restored: Names of the weights whose layers' outputs keep their mean whatever the levels, see `mean_restored`.
    """

    work: Work
    layers: dict[str, Layer]
    batch: Inputs
    restored: set[str]

    @classmethod
    def of(cls, work: Work) -> Treatment:
        """Look at the float network.

        Raises:
            QuantizationError: A weight is not finite, or there is not exactly one batch with several examples.
        """
        layers = treated_layers(work)
        return cls(work, layers, calibration_batch(work), mean_restored(work, layers))

    def solve(self, name: str, moments: Moments) -> Quantized:
        """Levels of a layer's weight by the moments of its inputs."""
        return solve(self.work, name, self.layers[name], moments, name in self.restored)


def treated_layers(work: Work) -> dict[str, Layer]:
    """Convolutions and linear layers of the float network whose weights are not plain, by the weight's name.

    Raises:
        QuantizationError: A weight of one is NaN or infinite.
    """
    found: dict[str, Layer] = {}
    for name in work.steps:
        path, _, attribute = name.rpartition(".")
        layer = work.network.get_submodule(path)
        if attribute == "weight" and isinstance(layer, TREATED) and name not in work.plain:
            if not torch.isfinite(layer.weight).all():
                raise QuantizationError(f"{name} has NaN or infinite values; the network cannot be quantised")
            found[name] = layer
    return found


def require_treated(work: Work, treated: Container[str]) -> None:
    """Check that every weight is treated, plain, or of a kind that is rounded by rate.

    Args:
        work: What is quantised.
        treated: Names of the weights whose layers' inputs were seen.

    Raises:
        QuantizationError: Some are not; the message names them and what to do.
    """
    refused = [
        f"{name} ({_why_not(work.network, name)})"
        for name in work.steps
        if name not in treated and name not in work.plain and not _by_rate(work.network, name)
    ]
    if refused:
        names = ", ".join(f'"{item.partition(" ")[0]}"' for item in refused)
        raise QuantizationError(
            f"methods that look at the inputs of layers cannot treat {', '.join(refused)}. Put them into "
            f"quantization.plain, which rounds them to nearest: plain: [{names}]; or take the method rate_aware."
        )


def _by_rate(network: nn.Module, name: str) -> bool:
    path = name.rpartition(".")[0]
    # An attention's output projection is a layer of its own that the attention does not call.
    return any(isinstance(network.get_submodule(owner), BY_RATE) for owner in (path, path.rpartition(".")[0]))


def _why_not(network: nn.Module, name: str) -> str:
    path, _, attribute = name.rpartition(".")
    owner = network.get_submodule(path)
    if isinstance(owner, TREATED) and attribute == "weight":
        return "no calibration input reaches it"
    return f"a parameter of {type(owner).__name__}"


def coarse_layer(work: Work, name: str) -> nn.Module:
    """The layer of ``work.coarse`` whose weight has this name."""
    return work.coarse.get_submodule(name.rpartition(".")[0])


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


def mean_restored(work: Work, layers: Mapping[str, Layer]) -> set[str]:
    """Layers whose outputs' mean does not depend on the levels: a bias, or the batch normalisation next, restores it.

    The batch normalisation next is found by what it is given: the very tensor that the layer returned.
    """
    restored = {name for name, layer in layers.items() if layer.bias is not None}
    outputs: dict[str, weakref.ref[Tensor]] = {}

    def remember(name: str, _: nn.Module, __: object, output: Tensor) -> None:
        outputs[name] = weakref.ref(output)

    def recognise(inputs: Tensor) -> None:
        restored.update(name for name, output in outputs.items() if output() is inputs)

    handles = [layer.register_forward_hook(partial(remember, name)) for name, layer in layers.items()]
    if work.match_batchnorm:
        handles += [on_input(layer, recognise) for layer in batchnorm_layers(work.network).values()]
    with running(work.network, handles):
        forward(work.network, some_examples(calibration_batch(work), slice(2)))
    return restored


@contextmanager
def running(network: nn.Module, handles: list[RemovableHandle]) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards the hooks are gone and the mode is as it was."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():  # a network may keep tensors, and is trained on
            yield
    finally:
        for handle in handles:
            handle.remove()
        network.train(training)
