from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from rdsearch.retraining.rate.steering import (
    AHEAD,
    EVERY,
    FIRST_PRICE,
    MARGIN,
    POWER,
    RAMP,
    SLOPE,
    URGENT,
    Steering,
    annealed,
)

CPU = torch.device("cpu")


def started(target: int | None = 1000, weight: float = 0.0, steps: int = 1000) -> Steering:
    steering = Steering(target, weight, fixed=100, steps=steps, lr=0.02, device=CPU)
    steering.look(torch.tensor(2.0))
    steering.measured(4100, bits=8 * 4000)
    return steering


@pytest.mark.parametrize(("steps", "power"), [(10_000, POWER[1]), (50, POWER[0])])
def test_the_goal_falls_no_faster_than_levels_can_and_then_slowly_to_the_target(steps: int, power: float) -> None:
    steering = started(steps=steps)
    target = 1000 * MARGIN
    assert steering.goal(0) == pytest.approx(4100)
    above = target * (1 + SLOPE)
    assert steering.goal(round(RAMP * steps / 2)) == pytest.approx(above * (4100 / above) ** 0.5**power)
    assert steering.goal(round(RAMP * steps)) == pytest.approx(above)
    assert steering.goal(steps) == pytest.approx(target)


def test_the_price_grows_while_the_file_is_too_large_and_falls_while_it_is_too_small() -> None:
    for bits, sign in ((8 * 8000.0, 1), (8 * 400.0, -1)):
        steering = started()
        prices = []
        for step in range(600, 660, 5):
            steering.correct(torch.tensor(bits), step)
            prices.append(float(steering.price))
        assert all(sign * (after - before) > 0 for before, after in pairwise(prices))
        assert sign * (prices[0] - 2.0 * FIRST_PRICE) > 0


def test_a_file_that_falls_fast_is_let_go_before_it_has_arrived() -> None:
    steering = started()
    prices = []
    for size in (1400, 1300, 1200):
        steering.correct(torch.tensor(8.0 * (size - 100)), 700)
        prices.append(float(steering.price))
    assert steering.goal(700) < 1200
    assert prices[2] < prices[0] / 2
    assert 1200 / steering.goal(700) < (1300 / 1200) ** (AHEAD / EVERY)  # it would be past its goal by then


def test_a_file_of_its_size_is_left_alone() -> None:
    steering = started()
    steering.correct(torch.tensor(8 * (steering.goal(700) - 100)), 700)
    assert float(steering.price) == pytest.approx(2.0 * FIRST_PRICE, rel=1e-5)


def test_a_fixed_price_stays() -> None:
    steering = started(None, weight=3.0)
    steering.correct(torch.tensor(1e6), 700)
    assert float(steering.price) == 6.0


def test_what_is_left_falls_as_the_learning_rate_does_and_an_error_weighs_more() -> None:
    steering, target = started(), 1000 * MARGIN
    for step in (700, 850, 950):
        share = annealed(step / 1000) / annealed(RAMP)
        assert steering.goal(step) == pytest.approx(target * (1 + SLOPE * share))
    prices = []
    for step in (600, 800, 990):
        steering = started()
        steering.correct(torch.tensor(8 * (1.005 * steering.goal(step) - 100)), step)
        prices.append(math.log(float(steering.price) / (2.0 * FIRST_PRICE)))
    assert prices[1] / prices[0] == pytest.approx(annealed(RAMP) / annealed(0.8), rel=1e-3)
    assert prices[2] / prices[0] == pytest.approx(URGENT, rel=1e-3)
