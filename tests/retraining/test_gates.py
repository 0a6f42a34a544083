from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from rdsearch.retraining import GATES
from rdsearch.retraining.gates import Gates
from rdsearch.retraining.hard_concrete import HIGH, LOW, TEMPERATURE, HardConcrete
from rdsearch.retraining.survivors import Survivors
from rdsearch.retraining.variational_dropout import K1, K2, K3, VariationalDropout
from rdsearch.tasks.evaluation import accuracy
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.splits import ArraySplit
from rdsearch.tasks.training.train import train
from tests.tasks.helpers import blobs, seeded_network

COUNT = 200


def gates_on(kind: type[Gates], price: float = 0.0, count: int = COUNT) -> tuple[Gates, nn.Linear]:
    torch.manual_seed(0)
    linear = nn.Linear(count, 1, bias=False)
    with torch.no_grad():
        linear.weight.normal_()
    masks = {"weight": torch.ones(1, count, dtype=torch.bool)}
    return kind(Survivors(linear, masks), price, 0.05, 0.001), linear


def spread(gates: Gates) -> None:
    """Gates of all kinds, from open to closed."""
    with torch.no_grad():
        gates.gates.add_(torch.linspace(-6, 6, len(gates.gates)))


def test_hard_concrete_gradients_are_those_of_the_sampled_gates_and_the_expected_count() -> None:
    gates, linear = gates_on(HardConcrete, price=0.3)
    spread(gates)
    weights, direction = linear.weight.detach().flatten(), torch.randn(COUNT)
    torch.manual_seed(7)
    sampled = gates.sample(weights)
    by_weights, by_gates = gates.gradients(weights, direction)
    logits = gates.gates.detach().clone().requires_grad_()
    free = weights.clone().requires_grad_()
    torch.manual_seed(7)
    uniform = torch.rand_like(weights)
    soft = torch.sigmoid((torch.log(uniform) - torch.log(1 - uniform) + logits) / TEMPERATURE)
    drawn = (soft * (HIGH - LOW) + LOW).clamp(0, 1)
    expected = torch.sigmoid(logits - TEMPERATURE * math.log(-LOW / HIGH)).sum()
    ((free * drawn * direction).sum() + 0.3 * expected).backward()
    torch.testing.assert_close(sampled, (free * drawn).detach())
    torch.testing.assert_close(by_weights, free.grad)
    torch.testing.assert_close(by_gates, logits.grad)


def test_the_priced_count_is_the_mean_number_of_gates_that_are_not_zero() -> None:
    gates, _ = gates_on(HardConcrete)
    spread(gates)
    ones = torch.ones(COUNT)
    torch.manual_seed(1)
    opened = sum((gates.sample(ones) != 0).float() for _ in range(2000)) / 2000
    expected = torch.sigmoid(gates.gates.detach() - TEMPERATURE * math.log(-LOW / HIGH))
    assert isinstance(opened, Tensor)
    torch.testing.assert_close(opened, expected, atol=0.05, rtol=0)


def test_variational_dropout_gradients_are_those_of_noise_and_divergence() -> None:
    gates, linear = gates_on(VariationalDropout, price=0.3)
    spread(gates)
    weights, direction = linear.weight.detach().flatten().double(), torch.randn(COUNT, dtype=torch.float64)
    gates.gates = nn.Parameter(gates.gates.detach().double())
    torch.manual_seed(7)
    sampled = gates.sample(weights)
    by_weights, by_gates = gates.gradients(weights, direction)
    log_variance = gates.gates.detach().clone().requires_grad_()
    free = weights.clone().requires_grad_()
    torch.manual_seed(7)
    noisy = free + torch.randn_like(weights) * (log_variance / 2).exp()
    log_alpha = (log_variance - free.square().log()).clamp(-8, 8)
    divergence = K1 - K1 * torch.sigmoid(K2 + K3 * log_alpha) + 0.5 * torch.log1p(torch.exp(-log_alpha))
    ((noisy * direction).sum() + 0.3 * divergence.sum()).backward()
    torch.testing.assert_close(sampled, noisy.detach())
    torch.testing.assert_close(by_weights, free.grad)
    torch.testing.assert_close(by_gates, log_variance.grad)


def test_the_divergence_is_that_from_the_log_uniform_prior() -> None:
    """Up to a constant: E log|1 + sqrt(alpha) noise| - log(alpha) / 2, by quadrature."""
    noise = torch.linspace(-12, 12, 400_001, dtype=torch.float64)
    density = torch.exp(-(noise**2) / 2) / math.sqrt(2 * math.pi) * (noise[1] - noise[0])
    exact, formula = [], []
    for log_alpha in (-4.0, -2.0, 0.0, 1.0, 2.0, 3.0):
        inside = (1 + math.exp(log_alpha / 2) * noise).abs().clamp(min=1e-9)
        exact.append(float((density * inside.log()).sum()) - log_alpha / 2)
        dropped = 1 / (1 + math.exp(-K2 - K3 * log_alpha))
        formula.append(K1 - K1 * dropped + 0.5 * math.log1p(math.exp(-log_alpha)))
    offset = exact[0] - formula[0]
    assert [value - offset for value in exact] == pytest.approx(formula, abs=0.02)


@pytest.mark.parametrize("name", GATES)
def test_gates_start_open(name: str) -> None:
    gates, linear = gates_on(GATES.load(name))
    before = linear.weight.detach().clone()
    gates.finish()
    # Weights far below their layer's root mean square may be noise already.
    large = before.abs() > 0.1
    torch.testing.assert_close(linear.weight.detach()[large], before[large], rtol=0.03, atol=0)


@pytest.mark.parametrize("name", GATES)
def test_weights_are_their_own_again_between_steps_and_masked_ones_stay_zero(name: str) -> None:
    network = seeded_network()
    masks = {"0.weight": torch.rand(16, 4, generator=torch.Generator().manual_seed(0)) < 0.5}
    with torch.no_grad():
        network.get_parameter("0.weight").mul_(masks["0.weight"])
    before = network.get_parameter("0.weight").detach().clone()
    gates = GATES.load(name)(Survivors(network, masks), 0.0, 0.05, 0.01)
    gates.before_forward()
    seen = network.get_parameter("0.weight").detach().clone()
    assert not torch.equal(seen, before)
    assert not seen[~masks["0.weight"]].any()
    network(torch.randn(8, 4)).sum().backward()
    gates.after_backward()
    assert torch.equal(network.get_parameter("0.weight").detach(), before)


@pytest.mark.parametrize("name", GATES)
def test_gates_close_on_inputs_that_say_nothing_and_what_is_left_still_works(name: str) -> None:
    inputs, labels = blobs()
    inputs[:, 3] = 0.0
    split = ArraySplit(inputs, labels)
    network = seeded_network()
    train(network, split, TrainingConfig(epochs=8, lr=0.02, batch_size=16))
    masks = {"0.weight": torch.ones(16, 4, dtype=torch.bool)}
    gates = GATES.load(name)(Survivors(network, masks), 0.05 / len(split), 0.1, 0.005)
    train(network, split, TrainingConfig(epochs=12, lr=0.005, batch_size=16), masks=masks, hooks=[gates])
    closed = (network.get_parameter("0.weight") == 0).float().mean(0)
    assert closed[3] > 0.9
    assert closed[:3].max() < 0.7
    assert accuracy(network, split) > 0.97


@pytest.mark.parametrize("name", GATES)
def test_dearer_gates_close_more_often(name: str) -> None:
    left = []
    for price in (0.01, 3.0):
        network = seeded_network()
        split = ArraySplit(*blobs())
        masks = {n: torch.ones_like(network.get_parameter(n), dtype=torch.bool) for n in ("0.weight", "3.weight")}
        gates = GATES.load(name)(Survivors(network, masks), price / len(split), 0.1, 0.01)
        train(network, split, TrainingConfig(epochs=10, lr=0.01, batch_size=16), masks=masks, hooks=[gates])
        left.append(sum(int(torch.count_nonzero(network.get_parameter(name))) for name in masks))
    assert left[1] < 0.7 * left[0]
