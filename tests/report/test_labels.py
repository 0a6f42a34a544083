from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from rdsearch.points.point import OperatingPoint, Scalar
from rdsearch.report.labels import format_value, printable, recipe_line, short_names, varying


def point(**parameters: Scalar) -> OperatingPoint:
    return OperatingPoint(1, 0.5, 0.0, 1.0, 0.0, 8.0, 1.0, 1, parameters)


def test_only_what_differs_was_searched() -> None:
    points = [point(a=1, b="x", c=0.5), point(a=1, b="y", c=0.5)]
    assert varying(points) == ["b"]


def test_a_parameter_that_some_points_lack_differs() -> None:
    assert varying([point(a=1, b=2), point(a=1)]) == ["b"]


def test_one_is_not_true_and_nan_is_itself() -> None:
    assert varying([point(a=1), point(a=True)]) == ["a"]
    assert varying([point(a=math.nan), point(a=math.nan)]) == []


def test_short_names_are_the_shortest_endings_that_tell_apart() -> None:
    names = ["pruning.rate", "retrain.lr", "pruning.budgets.fc", "quantization.fc", "fc"]
    assert short_names(names) == {
        "pruning.rate": "rate",
        "retrain.lr": "lr",
        "pruning.budgets.fc": "budgets.fc",
        "quantization.fc": "quantization.fc",
        "fc": "fc",
    }


def test_a_short_name_begins_with_a_word() -> None:
    names = ["pruning.budgets.0", "pruning.budgets.features.3", "pruning.budgets.layer1.*", "0"]
    assert list(short_names(names).values()) == ["budgets.0", "features.3", "layer1.*", "0"]


@given(st.lists(st.from_regex(r"[ab](\.[ab]){0,3}", fullmatch=True), unique=True, max_size=8))
def test_short_names_are_endings(names: list[str]) -> None:
    for name, short in short_names(names).items():
        assert name == short or name.endswith(f".{short}")


def test_a_recipe_line_has_strings_first_and_floats_short() -> None:
    recipe: dict[str, Scalar] = {
        "pruning.rate": 0.31415,
        "pruning.method": "surp",
        "retrain.epochs": 3,
        "retrain.lr": 0.00026,
        "quantization.fold": True,
        "quantization.cap": None,
        "pruning.size": 12345.6,
    }
    expected = "surp rate=0.31 size=12346 cap=none fold=yes epochs=3 lr=0.00026"
    assert recipe_line(recipe, sorted(recipe)) == expected
    assert recipe_line(recipe, ["pruning.rate", "absent.name"]) == "rate=0.31"
    assert recipe_line(recipe, []) == ""


@given(st.text())
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text)) == len(text)
    assert format_value(text).isprintable()
