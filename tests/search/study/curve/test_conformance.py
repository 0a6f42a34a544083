"""The sampler keeps Optuna's own rules for samplers, beside any other objective."""

from __future__ import annotations

from collections.abc import Callable

import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase, RelativeSamplerTestCase

from rdsearch.search.study.curve import sampler as module
from rdsearch.search.study.curve.sampler import CurveSampler


class TestConformance(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: CurveSampler(seed=0)


class TestConformanceOfWhatItLearns(BasicSamplerTestCase, RelativeSamplerTestCase):
    """The same, where the first trial is learnt from already."""

    @pytest.fixture
    def sampler(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[], BaseSampler]:
        monkeypatch.setattr(module, "START_UP", 1)
        return lambda: CurveSampler(seed=0)


def test_three_objectives_are_refused() -> None:
    study = optuna.create_study(directions=["minimize"] * 3, sampler=CurveSampler(seed=0))
    with pytest.raises(ValueError, match="one objective or two, and the study has 3"):
        study.ask().suggest_float("x", 0, 1)
