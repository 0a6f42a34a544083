from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from rdsearch.quantization.solver import levels as solver
from rdsearch.quantization.solver import propagation
from rdsearch.quantization.solver.propagation import BLOCK, propagate
from rdsearch.quantization.solver.rates import Rates, estimate


def inverse_factor(moments: np.ndarray) -> np.ndarray:
    return solver.inverse_factor(torch.from_numpy(moments)).numpy()


def problem(seed: int, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, Rates]:
    """Weights, invertible second moments of inputs that depend on each other, and rates."""
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(2 * columns, columns)) @ generator.normal(size=(columns, columns)) + 0.5
    weights = generator.laplace(0, 1.5, (rows, columns))
    moments = solver.damped(torch.from_numpy(inputs.T @ inputs / len(inputs))).numpy()
    return weights, moments, estimate(torch.from_numpy(weights).round().int(), 1)


def propagated(
    weights: np.ndarray, moments: np.ndarray, rates: Rates, paths: int, price: float, alive: np.ndarray | None = None
) -> np.ndarray:
    alive = np.ones(weights.shape, bool) if alive is None else alive
    rate = torch.full((len(weights),), price, dtype=torch.float64)
    factor = solver.inverse_factor(torch.from_numpy(moments))
    return propagate(torch.from_numpy(weights), torch.from_numpy(alive), factor, rate, rates, paths).numpy()


def objective(weights: np.ndarray, levels: np.ndarray, moments: np.ndarray, rates: Rates, price: float) -> np.ndarray:
    """Loss and price of each row: (rows,)."""
    error = weights - levels
    return np.asarray(
        np.einsum("ri,ij,rj->r", error, moments, error) + price * rates.of(torch.from_numpy(levels)).sum(1).numpy()
    )


def test_one_path_is_the_greedy_choice_with_the_rest_solved_exactly() -> None:
    weights, moments, rates = problem(1, 4, 6)
    levels = propagated(weights, moments, rates, paths=1, price=0.0)
    for row in range(4):
        chosen: list[int] = []
        for column in range(6):
            done = np.arange(column)
            later = np.arange(column, 6)
            error = weights[row, done] - chosen
            # The later weights' own optimum, given the errors so far.
            best = weights[row, later] + np.linalg.solve(
                moments[np.ix_(later, later)], moments[np.ix_(later, done)] @ error
            )
            chosen.append(int(np.rint(best[0])))
        assert levels[row].tolist() == chosen


def slow(
    row: np.ndarray, alive: np.ndarray, factor: np.ndarray, price: float, bits: np.ndarray, paths: int
) -> list[int]:
    """The same by lists: every open path with its cost, its levels and what the weights to come should be."""
    opened: list[tuple[float, list[int], np.ndarray]] = [(0.0, [], row)]
    for column in range(len(row)):
        grown = []
        for cost, chosen, rest in opened:
            pivot, value = factor[column, column], rest[column]
            low = math.floor(abs(value))
            magnitudes = [0, *(m for m in (low - 1, low, low + 1) if m > 0)] if alive[column] else [0]
            for magnitude in magnitudes:
                level = magnitude if value > 0 else -magnitude
                error = (value - level) / pivot
                grown.append(
                    (
                        cost + error**2 + price * bits[column, magnitude],
                        [*chosen, level],
                        rest - error * factor[column],
                    )
                )
        opened = sorted(grown, key=lambda path: path[0])[:paths]
    return opened[0][1]


@pytest.mark.parametrize("paths", [1, 3, 16])
@pytest.mark.parametrize("columns", [5, BLOCK, 2 * BLOCK + 3])
@pytest.mark.parametrize("on_gpu", [False, True])
def test_it_is_the_m_algorithm_whatever_the_blocks(
    paths: int, columns: int, on_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if on_gpu:  # what a GPU does, on the processor, where nothing is recorded
        monkeypatch.setattr(propagation, "_follow", propagation._follow_on_gpu)
        monkeypatch.setattr(propagation, "ROWS", 2)
    weights, moments, rates = problem(columns, 3, columns)
    alive = np.random.default_rng(0).random(weights.shape) < 0.8
    price = 0.1 * float(np.trace(moments)) / columns
    levels = propagated(weights, moments, rates, paths, price, alive)
    for row in range(3):
        bits = rates.bits[rates.classes[row].long()].numpy()
        assert levels[row].tolist() == slow(weights[row], alive[row], inverse_factor(moments), price, bits, paths)


def test_with_every_path_open_nothing_is_better() -> None:
    weights, moments, rates = problem(3, 12, 4)
    price = 0.05 * float(np.trace(moments)) / 4
    levels = propagated(weights, moments, rates, paths=4**4, price=price)
    found = objective(weights, levels, moments, rates, price)
    grid = np.array(list(itertools.product(range(-9, 10), repeat=4)), np.int32)
    for row in range(12):
        one = Rates(rates.classes[row].expand(grid.shape), rates.bits)
        least = objective(np.broadcast_to(weights[row], grid.shape), grid, moments, one, price).min()
        assert found[row] == pytest.approx(least)


def test_more_paths_mean_less_loss_and_price() -> None:
    weights, moments, rates = problem(4, 32, 72)
    price = 0.04 * float(np.exp(-2 * np.log(np.diag(inverse_factor(moments))).mean()))
    totals = [
        objective(weights, propagated(weights, moments, rates, paths, price), moments, rates, price).sum()
        for paths in (1, 4, 16)
    ]
    assert totals[1] < 0.95 * totals[0]
    assert totals[2] < totals[1]


def test_rows_of_dead_weights_become_zeros() -> None:
    weights, moments, rates = problem(5, 2, 7)
    levels = propagated(weights, moments, rates, 8, 0.1, np.zeros(weights.shape, bool))
    assert not levels.any()
