"""A search's trials as curves: which rounds there are, where they stand, and what they are worth."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState, create_trial

from rdsearch.config.searchfile import SearchConfig
from rdsearch.points.point import OperatingPoint
from rdsearch.search.study.curve.recipes import RoundCurves
from tests.search.books import TREE, Books, make_point, make_space


def curves(tree: dict[str, Any] = TREE, points: list[OperatingPoint] | None = None, **config: Any) -> RoundCurves:
    return RoundCurves(SearchConfig(**config), make_space(tree), lambda trial: points or [])


def test_where_a_longer_trial_holds_the_shorter_ones_it_alone_is_proposed(tmp_path: Path) -> None:
    assert curves().pinned == {"pruning.rounds": 4}
    books = Books(tmp_path, target=9, sampler="curve", constraints={"accuracy_drop": 0.05})
    ledger = books.open()
    rounds = []
    while (proposal := ledger.propose()) is not None:
        rounds.append(proposal.parameters["pruning.rounds"])
        books.complete(proposal.number, 4)
        ledger.settle(proposal.number)
    assert rounds == [4] * 9


def test_where_rounds_make_another_trial_they_are_searched() -> None:
    cubic = {"pruning": {"schedule": "cubic", "final_sparsity": 0.9, "rounds": {"int": [2, 6]}}}
    reader = curves(cubic)
    assert reader.pinned == {}
    assert reader.length({"pruning.rounds": 3}) == 3
    ends = [reader.positions({"pruning.rounds": rounds}, np.array([float(rounds)]))[0] for rounds in (2, 6)]
    assert ends == pytest.approx([1, 1])


def test_positions_are_octaves_of_weights_that_are_gone() -> None:
    reader, steps = curves(), np.array([1.0, 2.0, 4.0])
    longest = -4 * math.log2(0.5)
    expected = -math.log2(0.8) * steps / longest
    np.testing.assert_allclose(reader.positions({"pruning.rate": 0.2}, steps), expected, atol=1e-5)


def test_the_scale_goes_from_the_constraint_to_the_dense_network() -> None:
    reader = curves(
        points=[make_point(accuracy=0.9, size=1000)], constraints={"accuracy_drop": 0.03, "size_bytes": 500}
    )
    trial = create_trial(state=TrialState.COMPLETE, values=[1, 1])
    points = reader.points(None, trial)  # type: ignore[arg-type]
    scale = reader.scale(points)
    assert (scale.ideal, scale.floor, scale.origin) == pytest.approx((0.95, 0.92, 0))
    assert scale.least_gain == pytest.approx(math.log2(100_000 / 500))
    assert not points[0].counts
    quality = np.array([0.94, 0.92, 0.5])
    np.testing.assert_allclose(scale.quality(scale.latent(quality)), quality)


def test_an_ended_trial_is_read_once_and_a_running_one_each_time() -> None:
    read: list[int] = []
    reader = RoundCurves(SearchConfig(), make_space(), lambda trial: read.append(trial.number) or [make_point()])  # type: ignore[func-returns-value]
    for state in (TrialState.COMPLETE, TrialState.RUNNING):
        trial = create_trial(state=state, values=[1, 1] if state == TrialState.COMPLETE else None)
        trial.number = state.value
        for _ in range(2):
            reader.points(None, trial)  # type: ignore[arg-type]
    assert read == [TrialState.COMPLETE.value, *[TrialState.RUNNING.value] * 2]
