from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rdsearch.retraining.rate.slicing import Slices


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=6), nn.Flatten(), nn.Linear(96, 5)
    )


def alive(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach() != 0 for name, value in network.named_parameters() if value.dim() > 1}


def test_dead_channels_go_the_outputs_stay_and_the_whole_comes_back() -> None:
    torch.manual_seed(0)
    network, inputs = convolutional().eval(), torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        network[0].weight[1] = network[3].weight[1] = 0.0  # nothing makes it
        network[5].weight[:, 64:80] = 0.0  # nothing reads it
        for module, attribute in ((0, "bias"), (1, "bias"), (3, "bias")):
            getattr(network[module], attribute)[[1, 4]] = 0.0
        network[1].weight[[1, 4]] = 0.0
    whole = {name: value.clone() for name, value in network.state_dict().items()}
    expected = network(inputs)
    slices = Slices(network, inputs)
    assert slices.cut(network, alive(network)) is None  # it may come back until the next look
    left = slices.cut(network, alive(network))
    assert left is not None
    assert network[0].weight.shape == (4, 1, 3, 3)
    assert network[3].weight.shape == (4, 1, 3, 3)
    assert network[5].weight.shape == (5, 64)
    torch.testing.assert_close(network(inputs), expected)
    assert torch.equal(left.taken("5.weight", whole["5.weight"]), network[5].weight)
    for name, value in network.state_dict().items():
        back = slices.whole(name, value, tuple(whole[name].shape))
        dead = back == 0
        assert back.shape == whole[name].shape
        assert torch.equal(back[~dead], whole[name][~dead])
    again = convolutional().eval()
    Slices(again, inputs).restore(again, slices.state())
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again(inputs), expected)


class KnowsItsSizes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        out: Tensor = self.second(hidden.view(len(x), 6).relu())
        return out


@pytest.mark.parametrize(
    "network", [KnowsItsSizes(), nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 3))], ids=str
)
def test_channels_that_the_forward_pass_counts_on_stay(network: nn.Module) -> None:
    weights = [value for value in network.parameters() if value.dim() > 1]
    with torch.no_grad():
        weights[0][2] = 0.0
    inputs = torch.randn(3, 4)
    expected = network(inputs)
    slices = Slices(network, inputs)
    for _ in range(2):
        assert slices.cut(network, alive(network)) is None
    torch.testing.assert_close(network(inputs), expected)


def test_a_layer_that_dies_keeps_a_channel() -> None:
    network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].bias.zero_()
    slices = Slices(network, torch.randn(2, 4))
    for _ in range(2):
        slices.cut(network, alive(network))
    assert network[0].weight.shape == (1, 4)
    assert network(torch.randn(2, 4)).shape == (2, 3)
