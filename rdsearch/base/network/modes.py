"""Networks as they are used, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from rdsearch.base.device import exact_kernels
from rdsearch.base.network.inputs import Inputs, forward
from rdsearch.base.network.outputs import tensors_of
from rdsearch.base.randomness import isolated_rng


@contextmanager
def as_in_use(network: nn.Module) -> Iterator[None]:
    """Evaluation mode; every module's mode is restored afterwards."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def forward_in_use(network: nn.Module, inputs: Inputs) -> object:
    """What a network makes of inputs in evaluation mode; every module's mode is restored afterwards."""
    with as_in_use(network):
        return forward(network, inputs)


def outputs_of(network: nn.Module, inputs: Inputs) -> list[Tensor]:
    """The tensors in what a network in use makes of inputs: the same each time, whatever it draws at random.

    They are compared with those of a network that should say the same: TensorFloat-32 would round differently where a
    layer has another number of channels.
    """
    with isolated_rng(0), exact_kernels():
        return list(tensors_of(forward_in_use(network, inputs)))
