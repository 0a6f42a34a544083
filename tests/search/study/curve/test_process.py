"""Gaussian processes against their textbook formulas, and their gradients against differences."""

from __future__ import annotations

import numpy as np
import pytest

from rdsearch.search.study.curve import process
from rdsearch.search.study.curve.process import Kernel, Process, fit_kernel, prior

RANDOM = np.random.default_rng(0)
INPUTS = np.column_stack([RANDOM.random((30, 2)), RANDOM.integers(3, size=30)])
TARGETS = np.sin(5 * INPUTS[:, 0]) + 0.3 * INPUTS[:, 2]


def kernel(numbers: int = 2) -> Kernel:
    return Kernel(numbers, np.log([0.5, 0.8, 0.7, 1.3, 0.01]))


def test_covariances_are_those_of_a_matern_process_times_factors_of_choices() -> None:
    one, other = INPUTS[0], INPUTS[1]
    distance = np.sqrt(5 * (((one - other)[:2] / [0.5, 0.8]) ** 2).sum())
    expected = 1.3 * (1 + distance + distance**2 / 3) * np.exp(-distance - 0.7 * (one[2] != other[2]))
    assert kernel()(INPUTS, INPUTS)[0, 1] == pytest.approx(expected)


def test_the_mean_and_the_deviation_are_the_conditional_ones() -> None:
    where = np.array([[0.3, 0.4, 1.0], [0.9, 0.1, 0.0]])
    fitted = Process(kernel(), INPUTS, TARGETS)
    covariance = kernel()(INPUTS, INPUTS) + kernel().noise * np.eye(30)
    cross = kernel()(where, INPUTS)
    mean, scale = TARGETS.mean(), TARGETS.std()
    expected = mean + scale * cross @ np.linalg.solve(covariance, (TARGETS - mean) / scale)
    np.testing.assert_allclose(fitted.mean(where), expected, rtol=1e-9)
    variance = np.diag(kernel()(where, where) - cross @ np.linalg.solve(covariance, cross.T))
    np.testing.assert_allclose(fitted.deviation(where), scale * np.sqrt(variance), rtol=1e-6)


def test_draws_along_a_curve_have_the_posterior_mean_and_covariance() -> None:
    curve = np.column_stack([np.full(4, 0.35), np.linspace(0, 1, 4), np.ones(4)])
    fitted = Process(kernel(), INPUTS, TARGETS)
    draws = fitted.draw(np.stack([curve, curve]), np.random.default_rng(1).standard_normal((40_000, 4)))
    np.testing.assert_array_equal(draws[:, 0], draws[:, 1])
    covariance = kernel()(INPUTS, INPUTS) + kernel().noise * np.eye(30)
    cross = kernel()(curve, INPUTS)
    expected = TARGETS.var() * (kernel()(curve, curve) - cross @ np.linalg.solve(covariance, cross.T))
    np.testing.assert_allclose(draws[:, 0].mean(0), fitted.mean(curve), atol=0.01)
    np.testing.assert_allclose(np.cov(draws[:, 0].T), expected, atol=0.01)


def test_gradients_of_the_likelihood_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.optimize import check_grad

    found: dict[str, float] = {}

    def check(loss, start, **options):  # type: ignore[no-untyped-def]
        point = start + 0.1
        found["error"] = check_grad(lambda at: loss(at)[0], lambda at: loss(at)[1], point)
        found["size"] = float(np.linalg.norm(loss(point)[1]))
        return type("Found", (), {"x": start})

    monkeypatch.setattr(process, "minimize", check)
    fit_kernel(INPUTS, (TARGETS - TARGETS.mean()) / TARGETS.std(), 2)
    assert found["size"] > 1
    assert found["error"] < 1e-4 * found["size"]


def test_a_fit_finds_what_matters() -> None:
    log = fit_kernel(INPUTS, (TARGETS - TARGETS.mean()) / TARGETS.std(), 2).log
    assert log[0] < log[1], "the first number moves the target, the second one does not"
    assert np.exp(log[-1]) < 0.05, "there is no noise"


def test_length_scales_are_longer_where_there_are_more_dimensions() -> None:
    assert prior(40, 2)[0][0] > prior(10, 2)[0][0] > prior(5, 0)[0][0] == prior(2, 0)[0][0]
