"""Layers that run more than once in a forward pass."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rdsearch.quantization import LOOK_AT_INPUTS, METHODS
from rdsearch.quantization.batchnorm import batchnorm_layers, match_statistics
from rdsearch.quantization.method import Work
from rdsearch.quantization.methods import sequential

calibrated = pytest.mark.parametrize("method", sorted(LOOK_AT_INPUTS))


class Steps(nn.Module):
    """The same function of (batch, steps, 8), layer by layer over all steps, or step by step."""

    def __init__(self, loop: bool) -> None:
        super().__init__()
        self.a, self.b, self.loop = nn.Linear(8, 16), nn.Linear(16, 4), loop

    def forward(self, x: Tensor) -> Tensor:
        def step(z: Tensor) -> Tensor:
            return self.b(torch.relu(self.a(z)))

        return torch.stack([step(x[:, at]) for at in range(x.shape[1])], 1) if self.loop else step(x)


class Unrolled(nn.Module):
    """One block three times, its output the next one's input."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = torch.relu(self.b(self.a(x)))
        return self.head(x)


def streams() -> Tensor:
    """Streams that begin with near silence, and whose channels depend on each other."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(128, 6, 8, generator=generator) @ torch.randn(8, 8, generator=generator)
    x[:, 0] *= 0.01
    return x


def quantized(network: nn.Module, batch: Any, method: str, step: float, price: float = 0.02) -> Work:
    steps = {name: step for name, parameter in network.named_parameters() if parameter.dim() > 1}
    work = Work(network, copy.deepcopy(network), steps, batches=[batch], rate_weight=price)
    METHODS.load(method)(work)
    return work


def error(work: Work, batch: Tensor) -> float:
    with torch.no_grad():
        wanted = work.network(batch)
        return float((work.coarse(batch) - wanted).square().sum() / wanted.square().sum())


def unrolled() -> nn.Module:
    torch.manual_seed(3)
    network = Unrolled()
    with torch.no_grad():
        for _ in range(50):
            network.train()(streams().flatten(0, 1))
    return network.eval()


@calibrated
def test_a_loop_over_steps_is_quantised_as_well_as_all_steps_at_once(method: str) -> None:
    errors = []
    for loop in (True, False):
        torch.manual_seed(1)
        errors.append(error(quantized(Steps(loop).eval(), streams(), method, 0.2), streams()))
    assert errors[0] == pytest.approx(errors[1], rel=0.02 if method == "hessian" else 0.3)


def test_a_normalisation_that_runs_several_times_has_the_float_networks_statistics_over_all_of_them() -> None:
    network, batch = unrolled(), streams().flatten(0, 1)
    coarse = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in coarse.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.round(parameter * 8) / 8)
    match_statistics(coarse, network, [batch])

    def moments(of: nn.Module) -> tuple[Tensor, Tensor]:
        seen: list[Tensor] = []
        handle = of.b.register_forward_hook(lambda module, given, output: seen.append(output.detach()))
        with torch.no_grad():
            of(batch)
        handle.remove()
        joined = torch.cat(seen)
        return joined.mean(0), joined.std(0)

    for found, wanted in zip(moments(coarse), moments(network), strict=True):
        torch.testing.assert_close(found, wanted, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_fine_step_leaves_an_unrolled_network_what_it_is(method: str) -> None:
    work = quantized(unrolled(), streams().flatten(0, 1), method, 1e-4)
    assert error(work, streams().flatten(0, 1)) < 1e-5


@calibrated
def test_weights_that_two_layers_share_are_treated_by_the_inputs_of_both(method: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)).eval()
    network[2].weight = network[0].weight
    batch = streams().flatten(0, 1)
    errors = {name: error(quantized(network, batch, name, 0.15, 0.0), batch) for name in (method, "uniform")}
    assert errors[method] < 0.9 * errors["uniform"]


def test_a_normalisation_that_does_not_run_stays_as_it_is() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.BatchNorm1d(8), nn.BatchNorm1d(8)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    network = Idle().eval()
    with torch.no_grad():
        network.idle.weight.fill_(3.0)
    coarse = copy.deepcopy(network)
    match_statistics(coarse, network, [torch.randn(32, 8)])
    x = torch.randn(5, 8)
    torch.testing.assert_close(batchnorm_layers(coarse)["idle"](x), network.idle(x))


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("name", ["loop", "unrolled", "shared"])
def test_layers_that_run_several_times_get_the_same_levels_when_nothing_is_kept(
    name: str, in_place: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make() -> nn.Module:
        torch.manual_seed(1)
        if name == "unrolled":
            return unrolled()
        if name == "loop":
            return Steps(True).eval()
        network = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)).eval()
        network[2].weight = network[0].weight
        return network

    if in_place and name == "unrolled":
        pytest.skip("its normalisation is matched, which takes a network of its own")
    batch = streams() if name == "loop" else streams().flatten(0, 1)
    found = []
    for kept in (sequential.KEPT, 0):
        monkeypatch.setattr(sequential, "KEPT", kept)
        network = make()
        steps = {name: 0.2 for name, parameter in network.named_parameters() if parameter.dim() > 1}
        coarse = network if in_place else copy.deepcopy(network)
        levels = METHODS.load("sequential")(Work(network, coarse, steps, batches=[batch], fresh_network=make))
        found.append((levels, coarse.state_dict()))
    (levels, state), (others, other_state) = found
    for name, one in levels.items():
        assert np.array_equal(one.levels, others[name].levels)
    for name, tensor in state.items():
        assert torch.equal(tensor, other_state[name])
