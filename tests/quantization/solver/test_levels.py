from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.quantization.methods.rate_aware import round_by_rate
from rdsearch.quantization.solver import kernels
from rdsearch.quantization.solver.levels import choose_levels, damped, inverse_factor
from rdsearch.quantization.solver.rates import MAGNITUDES, estimate

seeds = st.integers(0, 2**32 - 1)


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


def test_the_factor_is_that_of_the_inverse() -> None:
    moments = damped(correlated(np.random.default_rng(0), 7))
    factor = inverse_factor(moments)
    np.testing.assert_array_equal(factor, np.triu(factor))
    np.testing.assert_allclose(factor.T @ factor @ moments, np.eye(7), atol=1e-9)


@given(seeds, st.floats(0, 2))
def test_descent_never_raises_the_loss_with_its_price(seed: int, price: float) -> None:
    generator = np.random.default_rng(seed)
    moments = correlated(generator, 9)
    weights = generator.normal(0, 2, (5, 9))
    levels = np.rint(weights).astype(np.int32)
    rates = estimate(levels, 3)

    def objective() -> float:
        return loss(weights, levels, moments) + price * float(rates.bits[rates.classes, np.abs(levels)].sum())

    before = objective()
    for _ in range(4):
        changed = kernels.descend(
            weights, everything(weights.shape), moments, np.full(5, price), rates.classes, rates.bits, levels
        )
        after = objective()
        assert after <= before * (1 + 1e-9)
        assert changed or after == before
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
    zeros = [int((levels == 0).sum()) for levels in found]
    bits = [float(estimate(levels, 9).of(levels).sum()) for levels in found]
    losses = [loss(weights, levels, moments) for levels in found]
    assert zeros == sorted(zeros)
    assert zeros[0] < zeros[-1]
    assert bits == sorted(bits, reverse=True)
    assert losses[0] < losses[-1]


def test_inputs_that_are_always_zero_are_survived() -> None:
    moments = damped(np.diag([1.0, 0.0, 4.0]))
    levels = choose_levels(np.array([[1.2, 0.6, -2.4]]), everything((1, 3)), moments, 0.0, 1)
    assert levels.tolist() == [[1, 1, -2]]
    assert np.isfinite(inverse_factor(damped(np.zeros((3, 3))))).all()


def test_inverse_factor_is_the_upper_factor_of_the_inverse() -> None:
    from rdsearch.quantization.solver.levels import damped, inverse_factor

    inputs = np.random.default_rng(3).normal(size=(50, 12))
    moments = damped(inputs.T @ inputs / 50)
    factor = inverse_factor(moments)
    np.testing.assert_array_equal(factor, np.triu(factor))
    np.testing.assert_allclose(factor.T @ factor, np.linalg.inv(moments), rtol=1e-9, atol=1e-9)


def test_inputs_that_never_vary_are_no_obstacle() -> None:
    import torch
    from torch import nn

    from rdsearch.quantization.layers import Layer
    from rdsearch.quantization.moments import Moments
    from rdsearch.quantization.solver.levels import choose_levels, damped

    layer: Layer = nn.Linear(6, 4)
    inputs = torch.full((64, 6), 1234.567) + torch.linspace(0, 1e-3, 64)[:, None]
    moments = Moments(layer)
    moments.add(inputs, 1)
    moment = damped(moments.second(centred=True)[0], moments.noise[0])
    weights = layer.weight.detach().double().numpy() * 10
    levels = choose_levels(weights, weights != 0, moment, 0.04, 1)
    assert np.isfinite(levels).all()
