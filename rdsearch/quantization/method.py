"""What a quantisation method is given, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.base.network.inputs import Inputs
from rdsearch.quantization.batchnorm import match_statistics
from rdsearch.quantization.findings import Findings
from rdsearch.quantization.uniform import Quantized, dequantize


@dataclass(frozen=True)
class Work:
    """A network to be quantised.

    Attributes:
        network: The float network, pruned weights exactly zero; not changed.
        coarse: A copy of it. A method leaves the decoded weights in it, and the biases and batch normalisations
            that go with them. For the project's own methods it may be the network itself, where no batch normalisation
            is matched: each weight is read for the last time before it is replaced.
        steps: Name in the state dict of each weight to be quantised to its distance between levels.
        dead_zone: Width of the interval that becomes zero, in steps (methods without rates).
        rate_weight: Price of a bit in units of a squared step (methods with rates).
        damping: What is added to each input's second moment, in units of the mean one (methods that look at inputs).
        plain: Names of weights that are rounded to nearest whatever the method.
        batches: Calibration inputs on the network's device; empty where nobody needs them.
        match_batchnorm: Whether batch normalisation is matched to the float network's statistics.
        findings: What is known of ``network`` by ``batches`` already; methods may look there, and add to it.
        fresh_network: Makes networks of its architecture; given where ``coarse`` is the network itself.
    """

    network: nn.Module
    coarse: nn.Module
    steps: Mapping[str, float]
    dead_zone: float = 1.0
    rate_weight: float = 0.0
    damping: float = 0.01
    plain: frozenset[str] = frozenset()
    batches: Sequence[Inputs] = ()
    match_batchnorm: bool = True
    findings: Findings = field(default_factory=Findings)
    fresh_network: Callable[[], nn.Module] | None = None

    def weights(self) -> dict[str, Tensor]:
        """The float weights to be quantised, by name."""
        parameters = dict(self.network.named_parameters(remove_duplicate=False))
        return {name: parameters[name].detach() for name in self.steps}


Method: TypeAlias = Callable[[Work], dict[str, Quantized]]
"""From the work to the levels of every weight in ``work.steps``."""


def copied(network: nn.Module, fresh_network: Callable[[], nn.Module]) -> nn.Module:
    """A copy of a network on the same device; ``fresh_network`` makes networks of its architecture."""
    device = next((tensor.device for tensor in network.state_dict().values()), torch.device("cpu"))
    copy = fresh_network().to(device)
    copy.load_state_dict(network.state_dict())
    return copy


def put(network: nn.Module, name: str, quantized: Quantized) -> None:
    """Give a network's weight its decoded values."""
    with torch.no_grad():
        network.get_parameter(name).copy_(torch.from_numpy(dequantize(quantized)))


def put_bias(network: nn.Module, name: str, values: np.ndarray) -> None:
    """Give a network's bias its values: (rows,)."""
    with torch.no_grad():
        network.get_parameter(name).copy_(torch.from_numpy(values))


def finish(work: Work, levels: Mapping[str, Quantized]) -> None:
    """Leave the decoded weights in ``work.coarse``, and batch normalisation matched to them where asked for."""
    for name, quantized in levels.items():
        put(work.coarse, name, quantized)
    if work.match_batchnorm:
        match_statistics(work.coarse, work.network, work.batches)
