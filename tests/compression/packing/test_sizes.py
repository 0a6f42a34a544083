from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rdsearch.coding.networkfile import encode_file
from rdsearch.compression.layout import layout_of
from rdsearch.compression.packing.contents import contents
from rdsearch.compression.packing.order import cheapest_order
from rdsearch.compression.packing.quantize import Decoded
from rdsearch.compression.packing.sizes import Sizes
from rdsearch.compression.packing.unread import forget_unread
from rdsearch.quantization.uniform import Quantized, dequantize
from rdsearch.retraining.rate.state import FileLevels

INPUTS = torch.linspace(-1, 1, 16 * 12).reshape(16, 12)


class Uneven(nn.Module):
    """Its hidden units are not alike: the first ones count more."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(12, 24), nn.Linear(24, 5)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.first(inputs).relu()
        return self.last(hidden * torch.arange(24, 0, -1).sqrt())  # type: ignore[no-any-return]


def alike() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 5))


def filled(make: type[nn.Module], seed: int, density: float) -> tuple[nn.Module, FileLevels]:
    """A network, and the levels that it decodes from."""
    generator = np.random.default_rng(seed)
    network, weights = make(), {}
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() == 2:
                levels = generator.integers(-3, 4, parameter.shape) * (generator.random(parameter.shape) < density)
                weights[name] = Quantized(levels.astype(np.int32), 0.25)
                parameter.copy_(torch.from_numpy(dequantize(weights[name])))
            else:
                parameter.copy_(torch.from_numpy(generator.normal(size=parameter.shape)))
    return network, FileLevels(weights, {})


@pytest.mark.parametrize("make", [alike, Uneven])
def test_sizes_are_those_of_files_whose_order_is_looked_for_anew(make: type[nn.Module]) -> None:
    layout = layout_of(make())
    in_file = partial(contents, layout=layout, bias_bits=8, network_id=None, recipe=None)
    sizes = Sizes(make, INPUTS, in_file)
    empty, nothing = filled(make, 0, 0.0)
    sizes(empty, nothing)
    for seed, density in ((1, 0.5), (2, 0.2), (3, 0.1)):
        network, levels = filled(make, seed, density)
        before = copy.deepcopy(network.state_dict())
        decoded = Decoded(network, dict(levels.weights))
        anew = len(encode_file(cheapest_order(decoded, INPUTS).file(in_file(decoded))))
        assert sizes(network, levels) == anew
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    as_it_is = len(encode_file(in_file(decoded)))
    assert anew < as_it_is if make is alike else anew == as_it_is


def test_the_last_files_are_without_what_nothing_reads() -> None:
    in_file = partial(contents, layout=layout_of(alike()), bias_bits=8, network_id=None, recipe=None)
    network, levels = filled(alike, 1, 0.5)
    levels.weights["2.weight"].levels[:, ::2] = 0
    with torch.no_grad():
        network[2].weight[:, ::2] = 0.0  # type: ignore[index, union-attr]
    before = copy.deepcopy(network.state_dict())
    sizes = Sizes(alike, INPUTS, in_file)
    decoded = forget_unread(Decoded(copy.deepcopy(network), dict(levels.weights)), INPUTS)
    without = len(encode_file(cheapest_order(decoded, INPUTS).file(in_file(decoded))))
    assert sizes(network, levels, last=True) == without < sizes(network, levels)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
