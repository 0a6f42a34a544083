from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from rdsearch.retraining.rate.steering import FIRST_PULL, MARGIN, POWER, RAMP, SLOPE, Steering

CPU = torch.device("cpu")


def started(target: int | None = 1000, weight: float = 0.0) -> Steering:
    steering = Steering(target, weight, fixed=100, steps=1000, device=CPU)
    steering.look(torch.tensor(2.0))
    steering.measured(4100, bits=8 * 4000)
    return steering


def test_the_goal_falls_fast_in_log_and_then_slowly_to_the_target() -> None:
    steering = started()
    target = 1000 * MARGIN
    assert steering.goal(0) == pytest.approx(4100)
    above = target * (1 + SLOPE)
    assert steering.goal(round(RAMP * 500)) == pytest.approx(above * (4100 / above) ** 0.5**POWER)
    assert steering.goal(round(RAMP * 1000)) == pytest.approx(above)
    assert steering.goal(1000) == pytest.approx(target)


def test_the_pull_grows_while_the_file_is_too_large_and_falls_while_it_is_too_small() -> None:
    for bits, sign in ((8 * 8000.0, 1), (8 * 400.0, -1)):
        steering = started()
        pulls = []
        for step in range(600, 660, 5):
            steering.correct(torch.tensor(bits), step)
            pulls.append(float(steering.pull))
        assert all(sign * (after - before) > 0 for before, after in pairwise(pulls))
        assert sign * (pulls[0] - 2.0 * FIRST_PULL) > 0


def test_a_file_of_its_size_is_left_alone() -> None:
    steering = started()
    steering.correct(torch.tensor(8 * (steering.goal(700) - 100)), 700)
    assert float(steering.pull) == pytest.approx(2.0 * FIRST_PULL, rel=1e-5)


def test_a_fixed_pull_stays() -> None:
    steering = started(None, weight=3.0)
    steering.correct(torch.tensor(1e6), 700)
    assert float(steering.pull) == 6.0
