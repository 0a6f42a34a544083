from __future__ import annotations

import math
from typing import Any

import pytest

from rdsearch.points.point import Scalar
from rdsearch.search.outcome.lineage import ancestors, distance
from rdsearch.search.study.heuristics import heuristics
from tests.search.books import make_point, make_space

TREE: dict[str, Any] = {
    "pruning": {"method": {"choice": ["global", "erk"]}, "rate": {"float": [0.1, 0.5]}},
    "quantization": {"step": {"float": [0.01, 1.0], "log": True}},
}
SPACE = make_space(TREE)


def recipe(method: str, rate: float, step: float = 0.1) -> dict[str, Scalar]:
    return {"pruning.method": method, "pruning.rate": rate, "quantization.step": step}


def test_distance_is_the_mean_over_the_parameters() -> None:
    domains = SPACE.parameters
    assert distance(recipe("erk", 0.1), recipe("erk", 0.1), domains) == 0
    assert distance(recipe("erk", 0.1, 0.01), recipe("global", 0.5, 1.0), domains) == pytest.approx(1)
    assert distance(recipe("erk", 0.1, 0.01), recipe("erk", 0.3, 0.1), domains) == pytest.approx((0 + 0.5 + 0.5) / 3)


def test_a_heuristic_on_the_front_is_itself_and_another_point_has_the_nearest_of_its_method() -> None:
    known = heuristics(SPACE, 100)
    tried = [make_point(trial=trial, parameters=parameters) for trial, parameters in enumerate(known)]
    first = known[0]
    other = dict(first) | {"quantization.step": float(first["quantization.step"] or 0) * 1.5}  # type: ignore[arg-type]
    child = make_point(trial=50, parameters=other)
    itself, near = ancestors(SPACE, [*tried, child], [tried[0], child])
    assert itself is not None
    assert (itself.trial, itself.distance) == (0, 0)
    assert near is not None
    assert near.trial == 0
    assert near.distance == pytest.approx(math.log(1.5) / math.log(100) / 3)
    assert str(near) == f"{itself}, {near.distance:.0%} away"


def test_the_method_comes_before_nearness() -> None:
    known = heuristics(SPACE, 100)
    tried = dict(enumerate(known))
    erk = next(trial for trial, parameters in tried.items() if parameters["pruning.method"] == "erk")
    points = [make_point(trial=trial, parameters=tried[trial]) for trial in (0, erk)]
    assert tried[0]["pruning.method"] == "global"
    child = make_point(trial=9, parameters={**tried[0], "pruning.method": "erk", "pruning.rate": 0.5})
    (ancestor,) = ancestors(SPACE, [*points, child], [child])
    assert ancestor is not None
    assert ancestor.trial == erk


def test_without_heuristics_there_is_no_ancestor() -> None:
    point = make_point(trial=0, parameters=recipe("erk", 0.123))
    assert ancestors(SPACE, [point], [point]) == [None]
