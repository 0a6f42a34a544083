from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rdsearch.quantization.forms import Matrix
from rdsearch.quantization.methods import rate_aware
from rdsearch.quantization.moments import Moments
from rdsearch.quantization.solver import descent, kernels, levels, propagation, rates, tensors
from rdsearch.quantization.solver.rates import MAGNITUDES

seeds = st.integers(0, 2**32 - 1)


def choose_levels(weights: np.ndarray, alive: np.ndarray, moments: np.ndarray, price: float, taps: int) -> np.ndarray:
    squares = torch.from_numpy(moments)
    found = levels.choose_levels(
        torch.from_numpy(weights), torch.from_numpy(alive), squares, levels.inverse_factor(squares), price, taps
    )
    return found.numpy()


def damped(moments: np.ndarray) -> np.ndarray:
    return levels.damped(torch.from_numpy(moments)).numpy()


def round_by_rate(weights: np.ndarray, price: float, taps: int) -> np.ndarray:
    return rate_aware.round_by_rate(torch.from_numpy(weights), price, taps).numpy()


def bits_of(found: np.ndarray, taps: int) -> float:
    return float(rates.estimate(torch.from_numpy(found), taps).of(torch.from_numpy(found)).sum())


def correlated(generator: np.random.Generator, columns: int, samples: int = 200) -> np.ndarray:
    """Second moments of inputs that depend on each other."""
    x = generator.normal(size=(samples, columns)) @ generator.normal(size=(columns, columns)) + 0.5
    return x.T @ x / samples


def loss(weights: np.ndarray, levels: np.ndarray, moments: np.ndarray) -> float:
    error = weights - levels
    return float(np.einsum("ri,ij,rj->", error, moments, error))


def everything(shape: tuple[int, int]) -> np.ndarray:
    return np.ones(shape, bool)


@given(st.floats(-30, 30), st.floats(0.01, 10), st.floats(0, 5), seeds)
def test_the_cheapest_level_is_the_best_of_all_when_larger_ones_cost_no_less(
    value: float, curvature: float, rate: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    bits = np.cumsum(generator.exponential(size=MAGNITUDES))
    candidates = np.arange(-MAGNITUDES + 1, MAGNITUDES)
    value = float(np.clip(value, -MAGNITUDES + 2, MAGNITUDES - 2))
    found = kernels.cheapest(value, curvature, rate, bits)
    costs = curvature * (value - candidates) ** 2 + rate * bits[np.abs(candidates)]
    near = np.abs(np.abs(candidates) - np.floor(abs(value))) <= 1
    allowed = costs[(near & (candidates * value >= 0)) | (candidates == 0)]
    assert curvature * (value - found) ** 2 + rate * bits[abs(found)] == pytest.approx(allowed.min())


@given(seeds)
def test_without_a_price_and_with_independent_inputs_levels_are_the_nearest(seed: int) -> None:
    weights = np.random.default_rng(seed).normal(0, 2, (3, 8))
    levels = choose_levels(weights, everything(weights.shape), np.eye(8), 0.0, 1)
    assert (np.abs(weights - levels) <= 0.5).all()
    assert (round_by_rate(weights, 0.0, 1) == levels).all()


@pytest.mark.parametrize("columns", [7, levels._INVERTED_AT_ONCE + 45])
def test_the_factor_is_that_of_the_inverse(columns: int) -> None:
    moments = damped(correlated(np.random.default_rng(0), columns) / columns)
    factor = levels.inverse_factor(torch.from_numpy(moments)).numpy()
    np.testing.assert_array_equal(factor, np.triu(factor))
    np.testing.assert_allclose(factor.T @ factor @ moments, np.eye(columns), atol=1e-9)


@settings(max_examples=20)
@given(seeds, st.floats(0, 2), st.booleans())
def test_descent_never_raises_the_loss_with_its_price(seed: int, price: float, on_gpu: bool) -> None:
    generator = np.random.default_rng(seed)
    moments = torch.from_numpy(correlated(generator, 9))
    weights = torch.from_numpy(generator.normal(0, 2, (5, 9)))
    found = weights.round().int()
    costs = rates.estimate(found, 3)
    alive, rate = torch.ones_like(weights, dtype=torch.bool), torch.full((5,), price, dtype=torch.float64)

    def objective() -> float:
        return loss(weights.numpy(), found.numpy(), moments.numpy()) + price * float(costs.of(found).sum())

    before = objective()
    gradient = (weights - found) @ moments
    descend = descent._descend_on_gpu if on_gpu else descent.descend
    for _ in range(4):
        changed = descend(gradient, alive, moments, rate, costs, found)
        after = objective()
        assert after <= before * (1 + 1e-9)
        assert changed or after == before
        torch.testing.assert_close(gradient, (weights - found) @ moments)
        before = after


def test_with_correlated_inputs_the_loss_is_the_least_and_far_below_that_of_rounding() -> None:
    generator = np.random.default_rng(3)
    moments = 0.9 ** np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    weights = generator.normal(0, 1, (20, 5))
    found = loss(weights, choose_levels(weights, everything(weights.shape), moments, 0.0, 1), moments)
    rounded = loss(weights, np.rint(weights), moments)
    grid = np.array(list(itertools.product(range(-4, 5), repeat=5)))
    errors = weights[:, None, :] - grid[None]
    least = np.einsum("rki,ij,rkj->rk", errors, moments, errors).min(1).sum()
    assert found == pytest.approx(least)
    assert found < 0.6 * rounded


@given(seeds, st.floats(0, 0.5))
def test_pruned_weights_stay_zero(seed: int, price: float) -> None:
    generator = np.random.default_rng(seed)
    alive = generator.random((6, 8)) < 0.5
    weights = np.where(alive, generator.normal(0, 3, (6, 8)), 0.0)
    moments = damped(correlated(generator, 8))
    assert not choose_levels(weights + 1.0, alive, moments, price, 1)[~alive].any()
    assert not round_by_rate(weights, price, 1)[~alive].any()


def test_a_higher_price_means_fewer_bits_and_more_zeros() -> None:
    generator = np.random.default_rng(5)
    weights, moments = generator.laplace(0, 1, (32, 72)), damped(correlated(generator, 72))
    found = [choose_levels(weights, everything(weights.shape), moments, price, 9) for price in (0.0, 0.05, 0.5)]
    zeros = [int((chosen == 0).sum()) for chosen in found]
    bits = [bits_of(chosen, 9) for chosen in found]
    losses = [loss(weights, chosen, moments) for chosen in found]
    assert zeros == sorted(zeros)
    assert zeros[0] < zeros[-1]
    assert bits == sorted(bits, reverse=True)
    assert losses[0] < losses[-1]


def test_inputs_that_are_always_zero_are_survived() -> None:
    moments = damped(np.diag([1.0, 0.0, 4.0]))
    found = choose_levels(np.array([[1.2, 0.6, -2.4]]), everything((1, 3)), moments, 0.0, 1)
    assert found.tolist() == [[1, 1, -2]]
    assert levels.inverse_factor(levels.damped(torch.zeros(3, 3))).isfinite().all()


def test_inputs_that_never_vary_are_no_obstacle() -> None:
    layer = nn.Linear(6, 4)
    inputs = torch.full((64, 6), 1234.567) + torch.linspace(0, 1e-3, 64)[:, None]
    moments = Moments(Matrix(), layer.weight)
    moments.add(inputs.unsqueeze(0))
    moment = levels.damped(moments.second(centred=True)[0], float(moments.noise[0]))
    weights = layer.weight.detach().double().numpy() * 10
    assert np.isfinite(choose_levels(weights, weights != 0, moment.numpy(), 0.04, 1)).all()


def test_a_gpu_chooses_the_levels_that_a_processor_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(7)
    columns = 2 * propagation.BLOCK + 9
    weights, moments = generator.laplace(0, 30, (21, columns)), damped(correlated(generator, columns))
    weights[:, ::3] /= 30
    alive = generator.random(weights.shape) < 0.6
    compiled = choose_levels(weights, alive, moments, 0.05, 1)
    for room in (propagation, descent):
        monkeypatch.setattr(room, "ROWS", 16)
    monkeypatch.setattr(propagation, "_follow", propagation._follow_on_gpu)
    monkeypatch.setattr(levels, "descend", descent._descend_on_gpu)
    np.testing.assert_array_equal(choose_levels(weights, alive, moments, 0.05, 1), compiled)


@given(seeds)
def test_both_find_the_same_cheapest_level(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values, rate = generator.laplace(0, 10, 20), generator.exponential(size=20)
    bits = np.cumsum(generator.exponential(size=(20, MAGNITUDES)), 1)
    found = tensors.cheapest(*(torch.from_numpy(values), 0.7, torch.from_numpy(rate), torch.from_numpy(bits)))
    assert found.tolist() == [kernels.cheapest(values[k], 0.7, rate[k], bits[k]) for k in range(20)]


def test_damping_is_in_units_of_the_mean_second_moment() -> None:
    moments = torch.tensor([[1.0, 0.5], [0.5, 3.0]], dtype=torch.float64)
    assert torch.equal(levels.damped(moments, damping=0.25) - moments, 0.5 * torch.eye(2, dtype=torch.float64))
