from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rdsearch.base.network.outputs import tensors_of
from rdsearch.compression.packing.quantize import Decoded
from rdsearch.compression.packing.unread import EXAMPLES, forget_unread
from rdsearch.quantization.uniform import Quantized


def levels_of(network: nn.Module) -> dict[str, Quantized]:
    """Weights in steps of 1/8, which they are rounded to."""
    levels = {}
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            quantized = Quantized(np.rint(parameter.detach().numpy() * 8).astype(np.int32), 0.125)
            parameter.data.copy_(torch.from_numpy(quantized.levels * np.float32(0.125)))
            levels[name] = quantized
    return levels


def dense() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3))


def inputs() -> Tensor:
    return torch.randn(40, 6, generator=torch.Generator().manual_seed(1))


def zeros(tensor: Tensor) -> list[int]:
    return [index for index, value in enumerate(tensor.tolist()) if value == 0]


def test_nothing_is_forgotten_where_everything_is_read() -> None:
    network = dense()
    levels = levels_of(network)
    before = copy.deepcopy(network.state_dict())
    kept = forget_unread(Decoded(network, levels), inputs()).weights
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(kept[name] is levels[name] for name in levels)


def test_what_leads_to_a_pruned_column_goes_and_all_outputs_stay() -> None:
    network = dense()
    network[2].weight.data[:, [1, 4]] = 0
    network[4].weight.data[:, 3] = 0
    levels = levels_of(network)
    expected = network(inputs())
    kept = forget_unread(Decoded(network, levels), inputs()).weights
    assert torch.equal(network(inputs()), expected)
    assert zeros(network[0].bias) == [1, 4]
    assert zeros(network[2].bias) == [3]
    assert not kept["0.weight"].levels[[1, 4]].any()
    assert not kept["2.weight"].levels[3].any()
    assert kept["0.weight"].levels[[0, 2, 3]].any(1).all()
    for name, quantized in kept.items():
        decoded = torch.from_numpy(quantized.levels * np.float32(quantized.step))
        assert torch.equal(network.get_parameter(name).detach(), decoded)


def test_a_channel_that_is_read_by_unread_ones_alone_goes_with_them() -> None:
    network = dense()
    network[4].weight.data[:, 3] = 0
    network[2].weight.data[[0, 1, 2, 4], 5] = 0  # channel 5 reaches channel 3 alone
    forget_unread(Decoded(network, levels_of(network)), inputs())
    assert zeros(network[0].bias) == [5]


def test_a_silent_channel_is_not_taken_for_an_unread_one() -> None:
    network = dense()
    network[0].bias.data[2] = -50.0
    network[0].bias.data[6] = 0.0
    forget_unread(Decoded(network, levels_of(network)), inputs())
    assert network[0].bias[2] == -50.0
    assert zeros(network[0].bias) == [6]  # as it was


def test_silent_channels_in_a_row_are_not_taken_for_unread_ones() -> None:
    """Far up, what the first one adds would hold the second one down; far down, nothing is heard of either."""
    network = dense()
    network[0].bias.data[2] = -50.0
    network[2].weight.data[3] = 0.0
    network[2].weight.data[3, 2] = -3.0
    network[2].bias.data[3] = -50.0
    before = copy.deepcopy(network.state_dict())
    forget_unread(Decoded(network, levels_of(network)), inputs())
    assert torch.equal(network[0].bias, before["0.bias"])
    assert torch.equal(network[2].bias, before["2.bias"])


def test_scale_and_shift_of_unread_channels_of_a_normalisation_go() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 3, 3), nn.Flatten()
    ).train()
    network[1].bias.data.uniform_(0.5, 1.0)
    network[3].weight.data[:, 1] = 0
    levels = levels_of(network)
    images = torch.randn(3, 2, 7, 7)
    forget_unread(Decoded(network, levels), images)
    assert network.training
    assert zeros(network[1].weight) == zeros(network[1].bias) == [1]
    assert network[1].num_batches_tracked == 0


class ByKeyword(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = dense()

    def forward(self, first: Tensor, second: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        return {"both": (self.body(first), self.body(second))}


@pytest.mark.parametrize("way", ["tuple", "mapping"])
def test_inputs_and_outputs_may_be_nested(way: str) -> None:
    network = ByKeyword()
    network.body[2].weight.data[:, 1] = 0
    given = (inputs(), inputs()) if way == "tuple" else {"first": inputs(), "second": inputs()}
    forget_unread(Decoded(network, levels_of(network)), given)
    assert zeros(network.body[0].bias) == [1]


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 2)

    def forward(self, values: Tensor) -> Tensor:
        assert len(values) <= 4 * EXAMPLES
        return self.linear(values).argmax(1)


def test_outputs_without_gradients_say_nothing() -> None:
    network = Counting()
    before = network.linear.bias.detach().clone()
    forget_unread(Decoded(network, levels_of(network)), inputs())
    assert torch.equal(network.linear.bias, before)


class Saturating(nn.Module):
    """The second channel acts in a window that neither its bias nor one far up or down is in."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 2)
        self.linear.bias.data = torch.tensor([0.1, 3.0])

    def forward(self, values: Tensor) -> Tensor:
        one, other = self.linear(values * 1e-3).unbind(1)
        return one + torch.where(other.abs() < 1, other + 1, 0.0)


def test_nothing_changes_where_the_outputs_would() -> None:
    network = Saturating()
    levels = levels_of(network)
    kept = forget_unread(Decoded(network, levels), inputs()).weights
    assert network.linear.bias.tolist() == pytest.approx([0.1, 3.0])
    assert kept["linear.weight"].levels.any(1).all()


class SparseFirst(nn.Module):
    """A normalisation of features of which each is seldom seen."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(400)
        self.last = nn.Linear(400, 3)

    def forward(self, values: Tensor) -> Tensor:
        return self.last(self.norm(values))


class Routed(nn.Module):
    """Each example goes to one of two experts by the sign of its first feature."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList([dense(), dense()])

    def forward(self, values: Tensor) -> Tensor:
        outputs = values.new_zeros(len(values), 3)
        for expert, chosen in zip(self.experts, (values[:, 0] <= 9, values[:, 0] > 9), strict=True):
            outputs[chosen] = expert(values[chosen])
        return outputs


class Decided(nn.Module):
    """Logits, and a decision of which no gradient speaks."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.judge = dense(), nn.Linear(6, 1)

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        return self.body(values), self.judge(values) > 0


class Straight(nn.Module):
    """What the second layer adds has no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.other = dense(), nn.Linear(6, 3)

    def forward(self, values: Tensor) -> Tensor:
        return self.body(values) + self.other(values).detach()


class Tied(nn.Module):
    """The first layer's weights are used once more."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 3)
        self.last.weight.data[:, 2] = 0.0

    def forward(self, values: Tensor) -> Tensor:
        return self.last(self.first(values).relu() + 0 * values) + values @ self.first.weight[:3].T


class Bag(nn.Module):
    """Tokens and where the examples begin, whose lengths differ."""

    def __init__(self) -> None:
        super().__init__()
        self.bag, self.body = nn.EmbeddingBag(9, 6), dense()

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        return self.body(self.bag(tokens, offsets))


def of_unlike_examples(network: nn.Module) -> Tensor:
    """Inputs of which the first few are like each other and the last ones otherwise."""
    features = 400 if isinstance(network, SparseFirst) else 6
    values = torch.zeros(300, features) if features == 400 else torch.randn(300, features).clamp(-3, 3)
    values[200:] += 10.0
    return values


@pytest.mark.parametrize("make", [SparseFirst, Routed, Decided, Straight])
def test_what_the_first_examples_do_not_show_is_kept(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    network = make().eval()
    levels = levels_of(network)
    values = of_unlike_examples(network)
    expected = network(values)
    kept = forget_unread(Decoded(network, levels), values).weights
    assert all(kept[name] is levels[name] for name in levels)
    assert all(map(torch.equal, tensors_of(network(values)), tensors_of(expected)))


def test_a_clipped_channel_is_not_taken_for_an_unread_one() -> None:
    kept = 0
    for seed in range(20):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(6, 8), nn.ReLU6(), nn.Linear(8, 3))
        network[0].bias.data[2] = -9.0
        forget_unread(Decoded(network, levels_of(network)), inputs())
        kept += int(network[0].bias[2] == -9.0)
    assert kept == 20


def test_the_rows_of_weights_that_others_use_stay() -> None:
    network = Tied()
    levels = levels_of(network)
    kept = forget_unread(Decoded(network, levels), inputs()).weights
    assert kept["first.weight"] is levels["first.weight"]


def test_inputs_that_cannot_be_cut_are_used_whole() -> None:
    network = Bag()
    network.body[2].weight.data[:, 1] = 0
    tokens = torch.arange(200) % 9
    forget_unread(Decoded(network, levels_of(network)), (tokens, torch.arange(0, 200, 2)))
    assert zeros(network.body[0].bias) == [1]


def test_a_network_that_cannot_be_run_backwards_is_left_alone() -> None:
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, values: Tensor) -> Tensor:
            return values.clone()

        @staticmethod
        def backward(_: Any, *gradients: Tensor) -> Tensor:
            raise NotImplementedError

    class Forward(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = dense()

        def forward(self, values: Tensor) -> Tensor:
            return Once.apply(self.body(values))

    network = Forward()
    network.body[2].weight.data[:, 1] = 0
    levels = levels_of(network)
    assert forget_unread(Decoded(network, levels), inputs()).weights == levels
