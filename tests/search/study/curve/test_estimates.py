"""Accuracies that all points together suggest lie nearer the truth than single measurements."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from rdsearch.config.searchfile import SearchConfig
from rdsearch.points.point import OperatingPoint
from rdsearch.search.study.curve.estimates import estimates
from tests.search.books import make_point, make_space

CONFIG = SearchConfig(constraints={"accuracy_drop": 0.1})
EXAMPLES = 400


def search(trials: int = 30) -> tuple[list[OperatingPoint], np.ndarray]:
    """Noisy points of a smooth function of rate and round, and their accuracies without noise."""
    random = np.random.default_rng(0)
    points, truth = [], []
    for trial in range(trials):
        rate, method = float(random.uniform(0.1, 0.5)), ("global", "erk")[trial % 2]
        parameters = {"pruning.method": method, "pruning.rate": rate, "pruning.rounds": 4, "retrain.lr": 1e-3}
        for round_ in range(1, 5):
            gone = -round_ * math.log2(1 - rate)
            truth.append(0.95 - 0.01 * gone**1.5 - 0.01 * (method == "erk"))
            accuracy = random.binomial(EXAMPLES, truth[-1]) / EXAMPLES
            points.append(make_point(round_, accuracy=accuracy, trial=trial, parameters=parameters))
    return points, np.array(truth)


def test_estimates_are_nearer_the_truth_and_say_by_how_much() -> None:
    points, truth = search()
    means, deviations = estimates(points, make_space(), CONFIG)
    measured = np.array([point.val_accuracy for point in points])
    error = np.sqrt(np.mean((means - truth) ** 2))
    assert error < 0.6 * np.sqrt(np.mean((measured - truth) ** 2))
    assert np.mean(np.abs(means - truth) < 1.96 * deviations) > 0.7


def test_the_luckiest_point_is_believed_less_than_it_was_measured() -> None:
    points, truth = search()
    means, _ = estimates(points, make_space(), CONFIG)
    luckiest = int(np.argmax([point.val_accuracy - true for point, true in zip(points, truth, strict=True)]))
    assert means[luckiest] < points[luckiest].val_accuracy


def test_few_points_are_taken_as_they_are() -> None:
    points, _ = search(2)
    means, deviations = estimates(points, make_space(), CONFIG)
    assert list(means) == [point.val_accuracy for point in points]
    assert np.isnan(deviations).all()


def test_a_point_without_an_accuracy_is_estimated_from_the_others() -> None:
    points, truth = search()
    points[5] = replace(points[5], val_accuracy=math.nan)
    means, _ = estimates(points, make_space(), CONFIG)
    assert abs(means[5] - truth[5]) < 0.03
