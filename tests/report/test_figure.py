from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rdsearch.points.front import Front, hypervolume
from rdsearch.points.point import OperatingPoint
from rdsearch.report.exploration import excess_size, history_figure, parameter_figure
from rdsearch.report.figure import front_figure
from rdsearch.report.summary import SearchSummary

Summarize = Callable[..., SearchSummary]


def traces(figure: Any) -> dict[str, Any]:
    return {trace["name"]: trace for trace in json.loads(figure.to_json())["data"]}


def test_the_front_figure_has_every_point_once_and_the_front_as_steps(
    summarize: Summarize, points: list[OperatingPoint]
) -> None:
    summary = summarize()
    found = traces(front_figure(summary.points, summary.front))
    assert set(found) == {"all points", "rounds of the trial", "front (validation)"}
    finite = [point for point in points if math.isfinite(point.val_accuracy)]
    assert len(finite) == len(points) - 1
    members = {(point.trial, point.round) for point in summary.front}
    others = [point for point in finite if (point.trial, point.round) not in members]
    assert len(others) + len(members) == len(finite)
    assert found["all points"]["x"] == [point.size_bytes for point in others]
    steps = found["front (validation)"]
    assert steps["x"] == [point.size_bytes for point in summary.front]
    assert steps["y"] == [point.val_accuracy for point in summary.front]
    assert steps["line"]["shape"] == "hv"


def test_the_baseline_is_a_dashed_line_at_its_accuracy(summarize: Summarize) -> None:
    figure = json.loads(front_figure([], summarize().front).to_json())
    (line,) = figure["layout"]["shapes"]
    assert (line["y0"], line["y1"], line["line"]["dash"]) == (0.984, 0.984, "dash")
    assert (line["name"], line["showlegend"]) == ("dense: 0.9840, 1.07 MB", True)


def test_test_accuracies_are_shown_where_there_are_some(summarize: Summarize) -> None:
    front = summarize(tested=True).front
    found = traces(front_figure([], front))
    assert found["front (test)"]["y"] == [point.test_accuracy for point in front]


def test_hovering_gives_the_figures_and_the_recipe(summarize: Summarize) -> None:
    summary = summarize(tested=True)
    first = summary.front[0]
    hover = traces(front_figure(summary.points, summary.front))["front (validation)"]["text"][0]
    for part in ("#1", f"{first.size_bytes:,} bytes", f"{first.val_accuracy:.4f}", f"test {first.test_accuracy:.4f}"):
        assert part in hover
    assert f"trial {first.trial}, round {first.round}" in hover
    assert f"rate={first.parameters['pruning.rate']:.2g}" in hover


def test_hovering_shows_markup_in_a_recipe_as_text(points: list[OperatingPoint]) -> None:
    one, other = (replace(points[0], parameters={"a.b": text}) for text in ("<b>x</b>", "<a href='y'>"))
    front = Front([one, other], baseline_accuracy=0.98, baseline_size_bytes=10)
    (hover,) = traces(front_figure([one, other], front))["front (validation)"]["text"]
    assert "&lt;b&gt;x&lt;/b&gt;" in hover
    assert "<b>x" not in hover


def test_an_empty_front_still_has_a_figure() -> None:
    front = Front([], baseline_accuracy=0.9, baseline_size_bytes=1000)
    assert traces(front_figure([], front))["front (validation)"]["x"] == []


def test_the_history_ends_at_the_hypervolume_of_all_trials(summarize: Summarize, points: list[OperatingPoint]) -> None:
    references = {"reference_size": 1_066_440, "reference_accuracy": 0.9}
    (trace,) = json.loads(history_figure(list(reversed(points)), **references).to_json())["data"]
    assert trace["x"] == [*range(12), 99]
    assert trace["y"] == sorted(trace["y"])
    assert trace["y"][-1] == hypervolume(points, **references)
    assert trace["y"][0] == hypervolume([point for point in points if point.trial == 0], **references)


def test_excess_is_one_on_the_front_and_the_size_ratio_off_it(points: list[OperatingPoint]) -> None:
    sized = [replace(points[0], size_bytes=size, val_accuracy=accuracy) for size, accuracy in ((100, 0.8), (400, 0.9))]
    front = Front(sized, baseline_accuracy=0.95, baseline_size_bytes=10_000)
    assert [excess_size(point, front) for point in sized] == [1, 1]
    assert excess_size(replace(points[0], size_bytes=600, val_accuracy=0.85), front) == 1.5
    assert excess_size(replace(points[0], size_bytes=250, val_accuracy=0.8), front) == 2.5
    for outside in (0.79, 0.91, math.nan):
        assert excess_size(replace(points[0], val_accuracy=outside), front) is None
    assert excess_size(points[0], Front([], baseline_accuracy=1, baseline_size_bytes=1)) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("quantization.step", "log"),
        ("pruning.rate", "linear"),
        ("retrain.epochs", "linear"),
        ("pruning.method", "category"),
    ],
)
def test_a_parameters_axis_suits_its_values(summarize: Summarize, name: str, kind: str) -> None:
    summary = summarize()
    figure = json.loads(parameter_figure(name, summary.points, summary.front).to_json())
    assert figure["layout"]["xaxis"]["type"] == kind
    others, members = figure["data"]
    assert len(members["x"]) == len(summary.front)
    assert set(members["y"]) == {1.0}
    assert min(others["y"]) >= 1


def test_a_parameter_that_some_points_lack_shows_the_others(points: list[OperatingPoint]) -> None:
    kept = [replace(point, parameters={}) if point.trial == 0 else point for point in points[:40]]
    front = Front(kept, baseline_accuracy=0.984, baseline_size_bytes=10**6)
    figure = json.loads(parameter_figure("pruning.rate", kept, front).to_json())
    shown = sum(len(trace["x"]) for trace in figure["data"])
    expected = [p for p in kept if p.parameters and excess_size(p, front) is not None]
    assert shown == len(expected) > 0


def test_of_very_many_points_those_that_lie_on_each_other_are_drawn_once(summarize: Summarize) -> None:
    many = [replace(point, trial=trial) for trial in range(170) for point in summarize().points]
    figure = front_figure(many, summarize().front)
    assert len(figure.to_json()) < 4 * len(many)
    (name,) = [name for name in traces(figure) if name.startswith("points, ")]
    found = traces(figure)[name]
    assert found["type"] == "scatter"
    places = {(point.size_bytes, point.val_accuracy) for point in many if math.isfinite(point.val_accuracy)}
    assert set(zip(found["x"], found["y"], strict=True)) <= places
    assert len(found["x"]) <= len(places)
    drawn, others = (int(word.replace(",", "")) for word in name.split() if word[0].isdigit())
    assert drawn == len(found["x"]) < others < len(many)
