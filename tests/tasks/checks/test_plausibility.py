from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rdsearch.tasks import NETWORKS, Task
from rdsearch.tasks.checks.plausibility import doubts
from rdsearch.tasks.training.recipes import EXPECTED_ACCURACY, KNOWN_GOOD, expected_accuracy
from tests.tasks.helpers import blobs, seeded_network


def said(score: float, **changes: Any) -> str:
    settings = {"network": seeded_network(), "train": blobs(3000), "validation": 1000, "expected_accuracy": 0.92}
    return "\n".join(doubts(Task(**{**settings, **changes}), score))


@pytest.mark.parametrize("score", [0.86, 0.9, 0.92, 0.94, 0.98])
def test_accuracies_near_the_expected_one_raise_no_doubt(score: float) -> None:
    assert said(score) == ""


def test_one_far_below_the_expected_is_told_with_what_to_check() -> None:
    assert "is 0.8000, this network reaches 0.9200 on this data as a rule: check the checkpoint" in said(0.8)


def test_one_that_is_too_good_was_probably_trained_on_the_validation_part() -> None:
    assert "is 0.9990, well above the 0.9200" in said(0.999)
    assert "trained on these very examples" in said(0.999)


def test_a_guessing_network_is_told_against_the_commonest_class() -> None:
    assert "is 0.4000, the commonest class alone gives 0.33" in said(0.4)
    inputs, labels = blobs(3000)
    assert "the commonest class alone gives 0.93" in said(
        0.92, train=(inputs, np.where(np.arange(3000) % 10, 0, labels)), expected_accuracy=None
    )


def test_few_examples_excuse_more() -> None:
    assert said(0.8, validation=1000) != ""
    assert said(0.8, validation=50) == ""


def test_without_an_expectation_only_guessing_is_doubted() -> None:
    assert said(0.7, expected_accuracy=None) == ""
    assert said(0.999, expected_accuracy=None) == ""


def test_nothing_is_said_of_scores_that_are_no_accuracies() -> None:
    assert said(0.0, evaluate=lambda network, batches: 0.0) == ""


def test_every_pair_with_a_known_recipe_has_an_expectation_but_those_that_nobody_published() -> None:
    assert set(KNOWN_GOOD) - set(EXPECTED_ACCURACY) == {("efficientnet_b0", name) for name in ("cifar10", "cifar100")}
    assert set(EXPECTED_ACCURACY) <= set(KNOWN_GOOD)
    assert all(0.5 < accuracy < 1 for accuracy in EXPECTED_ACCURACY.values())
    assert {network for network, _ in KNOWN_GOOD} == set(NETWORKS)
    assert expected_accuracy("mine:network", "cifar10") is None


def test_deeper_residual_networks_are_expected_to_be_better() -> None:
    for dataset in ("cifar10", "cifar100"):
        expected = [EXPECTED_ACCURACY[f"resnet{depth}", dataset] for depth in (20, 32, 44, 56, 110)]
        assert expected == sorted(expected)
