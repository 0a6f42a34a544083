"""Parameters as rows of numbers and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from rdsearch.search.study.curve.encoding import Encoding

SPACE: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(0.1, 0.5),
    "lr": FloatDistribution(1e-4, 1e-2, log=True),
    "epochs": IntDistribution(1, 9, step=2),
    "method": CategoricalDistribution(("global", "erk", None)),
    "fixed": FloatDistribution(2.0, 2.0),
}
SEEN = {"rate": 0.2, "lr": 1e-3, "epochs": 3, "method": None, "fixed": 2.0}


def test_values_come_back() -> None:
    encoding = Encoding(SPACE, [SEEN])
    row = encoding.encode(SEEN)
    assert row == pytest.approx([0.25, 0.5, 0.25, 0.5, 2])
    assert encoding.decode(row) == pytest.approx(SEEN)


def test_every_row_is_a_recipe_of_the_space() -> None:
    encoding, random = Encoding(SPACE, [SEEN]), np.random.default_rng(0)
    rows = np.concatenate([encoding.random(random, 50), encoding.near(random, encoding.random(random, 3), 50)])
    for row in rows:
        values = encoding.decode(row)
        assert all(each._contains(each.to_internal_repr(values[name])) for name, each in SPACE.items())
        np.testing.assert_allclose(encoding.encode(values), row, atol=1e-12)


def test_a_recipe_has_what_recipes_of_the_same_choices_had() -> None:
    space: dict[str, BaseDistribution] = {
        "kind": CategoricalDistribution(("plain", "deep")),
        "depth": IntDistribution(1, 8),
    }
    seen: list[dict[str, Any]] = [{"kind": "plain"}, {"kind": "deep", "depth": 4}]
    encoding = Encoding(space, seen)
    rows = encoding.random(np.random.default_rng(0), 40)
    kinds, depths, present = rows[:, 1], rows[:, 0], rows[:, 2]
    np.testing.assert_array_equal(present, kinds)
    assert np.all(depths[kinds == 0] == 0.5)
    assert len(np.unique(depths[kinds == 1])) > 3
    np.testing.assert_array_equal(encoding.encode(seen[0]), [0.5, 0, 0])
