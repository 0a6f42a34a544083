from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rdsearch.base.network.channels import Axis, Channels, joined_channels


class Block(nn.Module):
    """Two convolutions around a shortcut, depthwise in between, with functions rather than modules in its way."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.inner = nn.Conv2d(8, 12, 3, padding=1)
        self.norm = nn.BatchNorm2d(12)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.outer = nn.Conv2d(12, 8, 1)
        self.scale = nn.Parameter(torch.rand(8, 1, 1))
        self.fc = nn.Linear(8 * 9, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        y = self.depthwise(self.norm(self.inner(x)).clamp(-1.0, 1.0))
        x = x + self.scale * self.outer(y)
        x = F.adaptive_max_pool2d(x, 3)
        out: Tensor = self.fc(x.view(x.size(0), -1))
        return out


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
        self.head = nn.Sequential(nn.Linear(16, 9), nn.LayerNorm(9), nn.GELU(), nn.Linear(9, 3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.layer(x)).mean(1)
        return out


def same_after_permuting(network: nn.Module, inputs: Tensor) -> list[Channels]:
    """Permute every set of channels that is found, and compare the outputs."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.running_mean)  # type: ignore[arg-type]
    network.eval()
    expected = network(inputs)
    found = joined_channels(network, inputs[:1])
    state = network.state_dict()
    generator = torch.Generator().manual_seed(0)
    for channels in found:
        order = torch.randperm(channels.count, generator=generator)
        for axis in channels.axes:
            state[axis.tensor].copy_(axis.taken(state[axis.tensor], order))
    torch.testing.assert_close(network(inputs), expected)
    return found


def test_a_block_with_functions_shortcut_and_flattening_is_followed() -> None:
    inner, outer = sorted(same_after_permuting(Block(), torch.randn(2, 3, 8, 8)), key=lambda found: -found.count)
    assert inner.written[0] == Axis("inner.weight", 0)
    assert {"norm.weight", "norm.running_var", "depthwise.weight", "depthwise.bias"} <= {
        a.tensor for a in inner.written
    }
    assert inner.read == (Axis("outer.weight", 1),)
    assert [axis.tensor for axis in outer.written] == [
        "stem.weight",
        "stem.bias",
        "outer.weight",
        "outer.bias",
        "scale",
    ]
    assert set(outer.read) == {Axis("inner.weight", 1), Axis("fc.weight", 1, 9)}


def test_layers_beside_attention_are_followed() -> None:
    found = same_after_permuting(Attending(), torch.randn(2, 5, 16))
    assert [channels.count for channels in found] == [24, 9]


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1"])
def test_networks_of_others_stay_the_same_function(name: str) -> None:
    torchvision = pytest.importorskip("torchvision")
    assert len(same_after_permuting(getattr(torchvision.models, name)(num_classes=5), torch.randn(1, 3, 64, 64))) > 8


@pytest.mark.parametrize("name", ["lenet5_caffe", "digits_cnn", "resnet20"])
def test_networks_of_the_house_stay_the_same_function(name: str) -> None:
    from rdsearch.tasks.networks.identity import build_network

    size = {"lenet5_caffe": (1, 28, 28), "digits_cnn": (1, 8, 8), "resnet20": (3, 32, 32)}[name]
    found = same_after_permuting(build_network(name), torch.randn(2, *size))
    assert len(found) == {"lenet5_caffe": 3, "digits_cnn": 4, "resnet20": 9}[name]


class Odd(nn.Module):
    """Two layers with something in between."""

    def __init__(self, between: object) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.between(self, x)  # type: ignore[operator]
        return out


def _overwritten(net: Odd, x: Tensor) -> Tensor:
    hidden = net.first(x)
    hidden[:, 0] = 1.0
    out: Tensor = net.second(hidden)
    return out


def _by_number(net: Odd, x: Tensor) -> Tensor:
    hidden = net.first(x)
    out: Tensor = net.second(hidden) * hidden[0].tolist()[1]
    return out


@pytest.mark.parametrize(
    "between",
    [
        lambda net, x: net.second(net.first(x).roll(1, 1)),
        lambda net, x: net.second(net.first(x).softmax(1)),
        lambda net, x: net.second(net.first(x) + x),
        lambda net, x: net.second(torch.clamp(net.first(x), min=torch.arange(6.0))),
        lambda net, x: net.second(net.first(x)) + net.first(x),
        lambda net, x: (net.second(net.first(x)), net.first.weight.sum(0)),
        lambda net, x: net.second(net.second(net.first(x))) + net.second(x),
        lambda net, x: net.second(x) + net.second(net.first(x)),
        lambda net, x: net.second(net.first(x).view(-1, 3, 2).transpose(1, 2).reshape(-1, 6)),
        _overwritten,
        _by_number,
    ],
)
def test_channels_whose_order_something_else_depends_on_are_left_out(between: object) -> None:
    assert joined_channels(Odd(between), torch.randn(2, 6)) == []


def test_a_network_is_left_as_it_was() -> None:
    network = Block().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.norm.eval()
    joined_channels(network, torch.randn(1, 3, 8, 8))
    assert network.training
    assert not network.norm.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_channels_taken_in_part_keep_their_repeated_entries() -> None:
    kept = Axis("w", 1, 2).taken(torch.arange(12).view(2, 6), [2, 0])
    assert kept.tolist() == [[4, 5, 0, 1], [10, 11, 6, 7]]
