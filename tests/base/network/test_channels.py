from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
            state[axis.tensor].copy_(axis.permuted(state[axis.tensor], order))
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
    heads, *inside, hidden, last = (channels.count for channels in found)
    assert (heads, inside, hidden, last) == (2, [8] * 4, 24, 9)


class Recurrent(nn.Module):
    """A recurrent layer between linear ones, read in one of the usual ways."""

    def __init__(self, kind: type[nn.RNNBase], read: str, **options: Any) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 5)
        self.core = kind(5, 6, batch_first=True, **options)
        self.fc = nn.Linear(12 if self.core.bidirectional else 6, 2)
        self.read = read

    def forward(self, x: Tensor) -> Tensor:
        outputs, state = self.core(torch.relu(self.embed(x)))
        hidden = state[0] if isinstance(state, tuple) else state
        out: Tensor = self.fc({"last": outputs[:, -1], "mean": outputs.mean(1), "state": hidden[-1]}[self.read])
        return out


class Stepping(nn.Module):
    def __init__(self, cell: nn.RNNCellBase) -> None:
        super().__init__()
        self.cell, self.fc = cell, nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
        out: Tensor = self.fc(state[0] if isinstance(state, tuple) else state)
        return out


@pytest.mark.parametrize(
    ("network", "units"),
    [
        (lambda: Recurrent(nn.LSTM, "last"), [5, 6]),
        (lambda: Recurrent(nn.LSTM, "state", num_layers=2, bias=False), [5, 6, 6]),
        (lambda: Recurrent(nn.GRU, "mean", num_layers=2), [5, 6, 6]),
        (lambda: Recurrent(nn.GRU, "state"), [5, 6]),
        (lambda: Recurrent(nn.RNN, "last"), [5, 6]),
        (lambda: Recurrent(nn.LSTM, "last", num_layers=2, bidirectional=True), [5, 6, 6]),
        (lambda: Recurrent(nn.LSTM, "last", bidirectional=True), [5]),
        (lambda: Stepping(nn.LSTMCell(3, 6)), [6]),
        (lambda: Stepping(nn.GRUCell(3, 6)), [6]),
    ],
)
def test_units_of_recurrent_layers_are_followed_through_all_their_gates(
    network: Callable[[], nn.Module], units: list[int]
) -> None:
    found = same_after_permuting(network(), torch.randn(2, 7, 3))
    assert [channels.count for channels in found] == units
    assert [channels.removable for channels in found if channels.count == 6] == [False] * units.count(6)


class Across(nn.Module):
    """Attention of one sequence to another."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, **options)
        self.queries, self.keys = nn.Linear(3, 8), nn.Linear(3, options.get("kdim", 8))
        self.fc = nn.Linear(8, 2)
        self.mask: Tensor | None = None
        self.seen: dict[str, bool] = {"need_weights": False}

    def forward(self, x: Tensor) -> Any:
        keys = self.keys(x)
        attended, weights = self.attention(self.queries(x), keys, keys, attn_mask=self.mask, **self.seen)
        out = self.fc(attended).mean(1)
        return out if weights is None else (out, weights)


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"kdim": 4, "vdim": 4}])
def test_heads_and_what_is_inside_them_are_followed(options: dict[str, Any]) -> None:
    found = same_after_permuting(Across(**options), torch.randn(2, 5, 3))
    inputs = [4, 8] if options.get("kdim") else [8]  # one projection of both has both in one order
    assert sorted(channels.count for channels in found) == sorted([*inputs, 2, 4, 4, 4, 4, 8])


def test_heads_that_differ_or_are_seen_stay_in_their_places() -> None:
    masked, shown, biased = Across(), Across(), Across(add_bias_kv=True)
    masked.mask = torch.zeros(2, 5, 5)
    shown.seen = {"need_weights": True, "average_attn_weights": False}
    for network in (masked, shown):
        found = joined_channels(network, torch.randn(1, 5, 3))
        assert [channels.count for channels in found] == [8, 4, 4, 4, 4, 8]
    assert joined_channels(biased, torch.randn(1, 5, 3)) == []


class Given(nn.Module):
    """Two layers that share one's units: a state that is handed over, or weights in two forms."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.core = nn.GRU(3, 6, batch_first=True)
        self.fc = nn.Linear(6, 2)
        self.first = nn.Parameter(torch.zeros(1, 1, 6))
        self.way = way

    def forward(self, x: Tensor, state: Tensor | None = None) -> Any:
        if self.way == "handed out":
            outputs, state = self.core(x)
            return self.fc(outputs), state
        if self.way == "learnt":
            state = self.first.expand(1, len(x), 6).contiguous()
        elif self.way == "weights":
            return self.fc(self.core(x)[0]), self.core.weight_hh_l0.sum(0)
        return self.fc(self.core(x, state)[0])


@pytest.mark.parametrize("way", ["handed out", "learnt", "weights", "an input"])
def test_units_whose_order_something_else_depends_on_are_left_out(way: str) -> None:
    x = torch.randn(1, 4, 3)
    assert joined_channels(Given(way), (x, torch.zeros(1, 1, 6)) if way == "an input" else x) == []


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
