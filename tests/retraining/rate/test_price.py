from __future__ import annotations

import pytest
import torch

from rdsearch.retraining.rate.price import priced

AXES = (0, 1)


def entropy(share: float) -> float:
    shares = torch.tensor([share, 1 - share], dtype=torch.float64)
    return float(-(shares * shares.log2()).sum())


def scattered(rows: int = 100, columns: int = 100, share: float = 0.1) -> torch.Tensor:
    return (torch.rand(rows, columns, generator=torch.Generator().manual_seed(0)) < share).float()


def test_scattered_levels_take_their_entropy_and_a_bit_a_sign() -> None:
    values = scattered()
    alive = float(values.sum())
    expected = entropy(alive / 10_000) * 10_000 + alive
    assert float(priced(values, AXES)[0]) == pytest.approx(expected, rel=0.03)  # 200 densities fit what is chance
    assert float(priced(values.flatten(), None)[0]) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("axis", AXES)
def test_levels_in_few_channels_take_little_more_than_their_signs(axis: int) -> None:
    values = torch.zeros(100, 100)
    values[:10] = 1.0
    bits, _ = priced(values if axis == 0 else values.T, AXES)
    assert 1000 < float(bits) < 1000 + 0.3 * entropy(0.1) * 10_000


def test_a_level_is_dear_in_a_channel_that_has_few() -> None:
    values = torch.zeros(100, 100, 3)
    values[:10, :50] = 0.9
    _, slopes = priced(values, AXES)
    in_both, in_one, in_none = slopes[5, 10, 0], slopes[20, 10, 0], slopes[20, 90, 0]
    assert in_none > in_one > in_both > 0


def test_a_level_beyond_one_pays_for_its_magnitude_alone() -> None:
    values = scattered()
    values[values > 0] = 1.2
    values[0, :50] = 2.0
    bits, slopes = priced(values, AXES)
    assert float(slopes[0, 0]) == pytest.approx(float(slopes[values == 2.0].mean()))
    values[0, :50] = 3.0
    assert float(priced(values, AXES)[0]) > float(bits)


@pytest.mark.parametrize("values", [torch.zeros(3, 4), torch.full((3, 4), 5.0), torch.zeros(0, 4), torch.zeros(1)])
def test_bits_and_slopes_are_finite_whatever_the_levels_are(values: torch.Tensor) -> None:
    bits, slopes = priced(values, AXES if values.dim() > 1 else None)
    assert torch.isfinite(bits)
    assert bits >= 0
    assert torch.isfinite(slopes).all()
    assert slopes.shape == values.shape
