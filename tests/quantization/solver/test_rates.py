from __future__ import annotations

import numpy as np
import pytest
import torch

from rdsearch.coding.arrays import encode_arrays
from rdsearch.quantization.solver import rates as room
from rdsearch.quantization.solver.rates import MAGNITUDES, Rates

GENERATOR = np.random.default_rng


def estimate(levels: np.ndarray, taps: int) -> Rates:
    return room.estimate(torch.from_numpy(levels), taps)


def drawn(shape: tuple[int, int, int], scale: float, seed: int = 0) -> np.ndarray:
    """Levels whose rows and columns differ in size: (rows, columns, taps)."""
    generator = GENERATOR(seed)
    rows, columns = (np.exp(generator.normal(0, 0.7, count)) for count in shape[:2])
    return np.rint(generator.laplace(0, scale, shape) * rows[:, None, None] * columns[:, None]).astype(np.int32)


@pytest.mark.parametrize("scale", [0.15, 0.5, 2.0])
def test_the_bits_of_a_tensor_are_about_those_of_the_codec(scale: float) -> None:
    levels = drawn((64, 64, 9), scale)
    matrix = levels.reshape(64, -1)
    coded = 8 * len(encode_arrays([levels.reshape(64, 64, 3, 3)]))
    assert estimate(matrix, 9).of(torch.from_numpy(matrix)).sum().item() == pytest.approx(coded, rel=0.06)


def test_a_weight_in_a_sparse_row_or_column_pays_more_for_not_being_zero() -> None:
    levels = np.zeros((16, 32), np.int32)
    levels[:8, :16] = GENERATOR(0).integers(-3, 4, (8, 16))
    rates = estimate(levels, 1)

    def price(row: int, column: int) -> float:
        bits = rates.bits[int(rates.classes[row, column])]
        return float(bits[1] - bits[0])

    assert price(0, 0) < price(12, 0) < price(12, 30)
    assert price(0, 0) < price(0, 30) < price(12, 30)


def test_every_magnitude_has_a_finite_price_that_a_sign_is_part_of() -> None:
    rates = estimate(np.array([[0, 1, -100_000]], np.int32), 1)
    assert rates.bits.shape[1] == MAGNITUDES
    assert rates.bits.isfinite().all()
    assert (rates.bits[:, 1:] >= 1).all()
    bits = rates.of(torch.tensor([[0, 5, -100_000]]))
    assert bits[0, 0] < bits[0, 1] < bits[0, 2]


def test_nothing_but_zeros_costs_next_to_nothing() -> None:
    zeros = np.zeros((40, 90), np.int32)
    assert estimate(zeros, 9).of(torch.from_numpy(zeros)).mean() < 0.01
