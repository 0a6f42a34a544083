"""What a notebook shows of results: short text, tables, the report's own picture and plot."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from rdsearch.points.front import Front
from rdsearch.report.figure import front_figure
from rdsearch.report.summary import SearchSummary

Summarize = Callable[..., SearchSummary]


def test_a_front_is_a_picture_and_a_table(summarize: Summarize) -> None:
    pytest.importorskip("matplotlib")
    front = summarize(tested=True).front
    shown = front._repr_html_()
    assert shown.count("<tr>") == 1 + len(front)
    assert "<svg" in shown
    assert "<?xml" not in shown
    for point in front:
        assert f"<td>{point.size_bytes:,}</td>" in shown
        assert f"<td>{point.test_accuracy:.4f}</td>" in shown


def test_without_matplotlib_there_is_still_the_table(summarize: Summarize, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    shown = summarize().front._repr_html_()
    assert "<svg" not in shown
    assert "<table>" in shown


def test_the_plot_is_that_of_the_report(summarize: Summarize) -> None:
    summary = summarize()
    assert summary.front.plot(summary.points) == front_figure(summary.points, summary.front)
    assert summary.front.plot() == front_figure([], summary.front)


def test_a_point_is_one_line_and_a_table_of_its_recipe(summarize: Summarize) -> None:
    point = summarize(tested=True).front[0]
    assert repr(point) == (
        f"OperatingPoint({point.size_bytes:,} bytes, validation {point.val_accuracy:.4f}, "
        f"test {point.test_accuracy:.4f}, drop {point.accuracy_drop:+.4f}, trial {point.trial}, round {point.round})"
    )
    shown = point._repr_html_()
    assert f"<td>pruning.method</td><td>{point.parameters['pruning.method']}</td>" in shown


def test_nothing_of_a_user_is_markup(summarize: Summarize) -> None:
    hostile = replace(summarize().front[0], parameters={"<b>": "<script>"}, trial=None)
    other = replace(summarize().front[1], parameters={"<b>": "<i>"})
    front = Front([hostile, other], baseline_accuracy=0.9, baseline_size_bytes=10_000_000)
    for shown in (hostile._repr_html_(), front._repr_html_()):
        assert "<script>" not in shown
        assert "<i>" not in shown
    assert "None" not in repr(hostile)


def test_an_empty_front_is_shown_too() -> None:
    assert "Front(0 points)" in Front([], baseline_accuracy=0.9, baseline_size_bytes=10)._repr_html_()
