from __future__ import annotations

import sys

import pytest

from benchmarks.retraining import ROWS, main, merged, size_on_front
from rdsearch.config.recipe import Recipe
from rdsearch.points.point import OperatingPoint


def point(size_bytes: int, accuracy: float) -> OperatingPoint:
    return OperatingPoint(size_bytes, accuracy, 0.0, 1.0, 0.5, 1.0, 0.0, 1)


def test_sizes_are_read_along_the_front_and_not_outside_of_it() -> None:
    points = [point(400, 0.9), point(200, 0.8), point(300, 0.7), point(100, 0.4)]
    assert size_on_front(points, 0.85) == pytest.approx(300)
    assert size_on_front(points, 0.6) == pytest.approx(150)
    assert size_on_front(points, 0.95) is None
    assert size_on_front(points, 0.3) is None


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_a_recipe_that_differs_from_plain(row: str) -> None:
    plain = {"quantization": {"step": 0.3}, "retrain": {"epochs": 1}}
    assert (Recipe.model_validate(merged(plain, ROWS[row])) == Recipe.model_validate(plain)) == (row == "plain")


def test_it_prints_a_row_a_trial(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--rows", "plain", "trained levels", "--rounds", "2", "--rate", "0.7", "--epochs", "0.5"]
    monkeypatch.setattr(sys, "argv", ["retraining", *arguments])
    main()
    lines = capsys.readouterr().out.splitlines()
    assert [line[:20].strip() for line in lines[-2:]] == ["plain", "trained levels"]
    assert "± " in lines[1]
    assert sum("round" in line for line in lines) == 5
