from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rdsearch.search.outcome.importance import importances
from tests.search.books import make_point, make_space

TREE: dict[str, Any] = {
    "pruning": {"method": {"choice": ["global", "erk"]}, "rate": {"float": [0.1, 0.5]}},
    "quantization": {"step": {"float": [0.01, 1.0], "log": True}},
    "retrain": {"epochs": {"int": [0, 3]}},
}


def made_up(count: int) -> list[Any]:
    """Trials whose size follows from the rate alone, and whose accuracy from the step alone."""
    rng = np.random.default_rng(0)
    points = []
    for trial in range(count):
        rate, step = rng.uniform(0.1, 0.5), float(10 ** rng.uniform(-2, 0))
        parameters = {
            "pruning.method": ("global", "erk")[trial % 2],
            "pruning.rate": rate,
            "quantization.step": step,
            "retrain.epochs": int(rng.integers(4)),
        }
        # An earlier round that stands for nothing.
        points.append(make_point(1, 10**6 + trial, 0.5, trial=trial, parameters=parameters))
        points.append(make_point(2, int(1e5 * (1 - rate)), 0.9 - step / 10, trial=trial, parameters=parameters))
    return points


def test_each_objective_has_the_parameter_that_it_follows_from() -> None:
    found = importances(make_space(TREE), made_up(200), {})
    assert list(found) == ["front", "size_bytes", "val_accuracy"]
    assert next(iter(found["size_bytes"])) == "pruning.rate"
    assert found["size_bytes"]["pruning.rate"] > 0.8
    assert next(iter(found["val_accuracy"])) == "quantization.step"
    assert found["val_accuracy"]["quantization.step"] > 0.8
    for shares in found.values():
        assert sum(shares.values()) == pytest.approx(1)
        assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert found["front"]["pruning.method"] + found["front"]["retrain.epochs"] < 0.3


def test_few_trials_say_nothing() -> None:
    assert importances(make_space(TREE), made_up(9), {}) == {}


def test_points_of_another_space_are_left_out() -> None:
    points = [*made_up(12), *(make_point(1, trial=99 + trial, parameters={"other": 1}) for trial in range(5))]
    assert importances(make_space(TREE), points, {}) == importances(make_space(TREE), made_up(12), {})
