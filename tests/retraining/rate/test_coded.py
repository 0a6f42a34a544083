from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from rdsearch.base.device import channels_last
from rdsearch.retraining.rate.coded import Coded, Segment


def linear(step: float = 0.25) -> tuple[nn.Linear, Coded]:
    torch.manual_seed(0)
    network = nn.Linear(4, 3)
    return network, Coded([segment("weight", network.weight, step), segment("bias", network.bias, 0.1)], lr=0.1)


def segment(name: str, parameter: nn.Parameter, step: float) -> Segment:
    return Segment(name, name, parameter, parameter.detach() / step, step)


def test_the_forward_pass_sees_whole_levels_and_the_gradient_goes_through() -> None:
    network, coded = linear()
    levels = coded.levels()
    assert torch.equal(network.weight.detach(), torch.from_numpy(levels["weight"].levels).float() * 0.25)
    before = coded.tensors()["weight"]
    network(torch.ones(2, 4)).sum().backward()
    coded.update(torch.zeros(()), lr=0.1)
    # Adam's first step is the sign of the gradient, which is positive everywhere.
    torch.testing.assert_close(coded.tensors()["weight"], before - 0.1, rtol=0, atol=1e-5)


def test_the_gradient_by_a_step_is_that_of_all_its_values() -> None:
    network, coded = linear()
    inputs = torch.randn(5, 4)
    network(inputs).square().sum().backward()
    expected = float((network.weight.grad * network.weight.detach()).sum())  # type: ignore[operator]
    coded.update(torch.zeros(()), lr=0.0)
    assert float(coded.log_steps.grad[0]) == pytest.approx(expected, rel=1e-5)  # type: ignore[index]


def test_the_rate_moves_every_level_towards_zero() -> None:
    _, coded = linear()
    before = coded.tensors()["weight"].abs()
    far = before > 0.2
    for _ in range(2):
        coded.update(torch.ones(()), lr=0.05)
    assert (coded.tensors()["weight"].abs()[far] < before[far]).all()


def test_zeros_come_back_where_the_loss_wants_them() -> None:
    network, coded = linear()
    with torch.no_grad():
        coded.values.zero_()
    coded.decode()
    for _ in range(12):
        (-network.weight.sum()).backward()  # the loss wants them greater
        coded.update(torch.zeros(()), lr=0.05)
        coded.decode()
    assert (coded.levels()["weight"].levels == 1).all()


@pytest.mark.parametrize("last", [False, True])
def test_a_network_of_any_layout_sees_its_values(last: bool) -> None:
    network = nn.Conv2d(3, 5, 3)
    if last:
        channels_last(network)
    own = network.weight.detach().clone()
    coded = Coded([segment("weight", network.weight, 0.01)], lr=0.1)
    torch.testing.assert_close(network.weight.detach(), own, rtol=0, atol=0.0051)
    assert network.weight.is_contiguous(memory_format=torch.channels_last) is last
    torch.testing.assert_close(coded.tensors()["weight"] * 0.01, own, rtol=1e-2, atol=1e-6)


def test_bits_go_over_all_tensors_in_any_layout() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Conv2d(5, 4, 1))
    other = copy.deepcopy(network)
    channels_last(other)
    plain, last = (
        Coded([segment(name, value, 0.1) for name, value in laid_out.named_parameters()], lr=0.1).bits()
        for laid_out in (network, other)
    )
    assert float(plain) == pytest.approx(float(last), rel=1e-5)
    assert float(plain) > 0
