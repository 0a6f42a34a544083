from __future__ import annotations

import sys
from typing import Any

import pytest

from benchmarks import target_bytes
from benchmarks.retraining import FILE_RECIPE, FOR_THE_FILE, ROWS, main, merged, recipes_of, size_on_front
from rdsearch.compression.loading import decode
from rdsearch.compression.rounds import compress
from rdsearch.config.recipe import Recipe
from rdsearch.points.point import OperatingPoint
from rdsearch.retraining.settings import LevelTraining
from rdsearch.tasks.loading import load_task
from rdsearch.tasks.settings import TaskConfig


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


def test_training_for_the_file_is_a_trial_a_size_and_prunes_nothing() -> None:
    base = {"pruning": {"rounds": 6, "rate": 0.5}, "retrain": {"epochs": 1}, "quantization": {"step": 0.3}}
    recipes = [Recipe.model_validate(each) for each in recipes_of(FOR_THE_FILE, base, [700, 900], 20)]
    assert [each.quantization.training.target_bytes for each in recipes] == [700, 900]
    for each in recipes:
        assert (each.pruning.rounds, each.pruning.removes, each.retrain.epochs) == (1, False, 0)
        assert each.quantization.training.epochs == 20
    assert recipes_of("plain", base, [700, 900], 20) == [base]


def test_target_bytes_prints_a_row_a_size(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    given = "--targets 1500 --epochs 1 --method rate_aware --bias-bits 4 --distillation 0.5"
    seen = []

    def compressed(task: object, recipe: dict[str, Any], **options: object) -> list[OperatingPoint]:
        seen.append(Recipe.model_validate(recipe))
        return [point(1490, 0.9)]

    monkeypatch.setattr(target_bytes, "compress", compressed)
    monkeypatch.setattr(sys, "argv", ["target_bytes", *given.split()])
    target_bytes.main()
    assert capsys.readouterr().out.splitlines()[-1].split()[:5] == ["-", "0", "1,500", "1,490", "-0.67%"]
    (recipe,) = seen
    assert (recipe.quantization.method, recipe.quantization.bias_bits) == ("rate_aware", 4)
    assert recipe.retrain.distillation.weight == 0.5
    assert recipe.quantization.training == LevelTraining(epochs=1, target_bytes=1500, augmentation=0.3)


@pytest.mark.parametrize("left_out", [None, "order of channels"])
def test_a_file_that_is_trained_without_an_order_has_none_and_its_size_all_the_same(left_out: str | None) -> None:
    task = load_task(TaskConfig(network="digits_cnn", dataset="digits"))
    training = {"quantization": {"training": {"target_bytes": 4000, "epochs": 2}}}
    with target_bytes.without(left_out):
        (found,) = compress(task, merged(FILE_RECIPE, training), device="cpu")
    assert bool(decode(found.data).ordered) == (left_out is None)
    assert 3600 < found.size_bytes <= 4000
