from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console
from rich.table import Table

from rdsearch.points.front import Front
from rdsearch.points.point import OperatingPoint
from rdsearch.report.summary import SearchSummary
from rdsearch.report.table import format_ratio, front_table, front_text

Summarize = Callable[..., SearchSummary]


def rendered(table: Table, width: int = 100) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None, legacy_windows=False)
    console.print(table)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("tested", [False, True])
def test_every_figure_is_whole_at_every_width(summarize: Summarize, width: int, tested: bool) -> None:
    front = summarize(tested=tested).front
    lines = rendered(front_table(front), width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "…" not in text
    for point in front:
        assert f"{point.size_bytes:,}" in text
        assert f"{point.val_accuracy:.4f}" in text
        assert f"{point.accuracy_drop:+.4f}" in text
        assert f"rate={point.parameters['pruning.rate']:.2g}" in text


def test_the_test_column_is_there_once_the_test_split_was_read(summarize: Summarize) -> None:
    assert " test " not in rendered(front_table(summarize().front))[0]
    front = summarize(tested=True).front
    half = Front(
        [replace(front[0], test_accuracy=None), *front[1:]],
        baseline_accuracy=front.baseline_accuracy,
        baseline_size_bytes=front.baseline_size_bytes,
    )
    lines = rendered(front_table(half))
    assert " test " in lines[0]
    assert "–" in lines[2]


def test_what_all_points_share_is_not_in_the_recipe_column(summarize: Summarize) -> None:
    text = "\n".join(rendered(front_table(summarize().front)))
    assert "dead_zone" not in text


def test_a_chosen_point_keeps_its_number(summarize: Summarize) -> None:
    front = summarize().front
    lines = rendered(front_table(front, chosen=front[2], title="the knee"))
    assert lines[0].strip() == "the knee"
    assert [line.split()[0] for line in lines[3:] if line[:4].strip()] == ["3"]


def test_an_empty_front_has_a_table_without_rows() -> None:
    lines = rendered(front_table(Front([], baseline_accuracy=0.9, baseline_size_bytes=10)))
    assert "bytes" in lines[0]
    assert len([line for line in lines if line.strip()]) == 2


def test_hostile_strings_neither_style_nor_steer_the_terminal(points: list[OperatingPoint]) -> None:
    names = ["[red]a[/red]", "\x1b[31mb", "c\r\nd", "[/]"]
    hostile = [replace(point, parameters={"x.[bold]y": names[index % 4]}) for index, point in enumerate(points[:40])]
    front = Front(hostile, baseline_accuracy=0.984, baseline_size_bytes=10**6)
    text = "\n".join(rendered(front_table(front, title="[blink]\x07title"), 160))
    assert "[blink]·title" in text
    assert "\x1b" not in text
    assert {point.parameters["x.[bold]y"] for point in front} >= {"[red]a[/red]"}
    assert "[red]a[/red]" in text


def test_ratios_have_three_digits_or_so() -> None:
    assert [format_ratio(ratio) for ratio in (0.5, 9.44, 99.94, 99.96, 1202.3)] == [
        "0.5×",
        "9.4×",
        "99.9×",
        "100×",
        "1,202×",
    ]


def test_json_has_the_baseline_and_every_figure_exactly(summarize: Summarize) -> None:
    front = summarize(tested=True).front
    read = json.loads(front_text(front, "json"))
    assert read["baseline"] == {"val_accuracy": 0.984, "size_bytes": 1_066_440}
    assert [one["point"] for one in read["points"]] == list(range(1, len(front) + 1))
    for one, point in zip(read["points"], front, strict=True):
        assert one["size_bytes"] == point.size_bytes
        assert one["test_accuracy"] == point.test_accuracy
        assert one["parameters"] == point.parameters


def test_json_has_null_where_a_figure_is_not_finite(summarize: Summarize) -> None:
    front = summarize().front
    odd = replace(front[0], seconds=math.nan, parameters={"a.b": math.inf})
    text = front_text(Front([odd], baseline_accuracy=0.9, baseline_size_bytes=10), "json")
    assert "NaN" not in text
    (one,) = json.loads(text)["points"]
    assert one["seconds"] is None
    assert one["parameters"] == {"a.b": None}


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_chosen_point_is_given_alone_under_its_number(summarize: Summarize, form: str) -> None:
    front = summarize().front
    text = front_text(front, form, chosen=front[1])  # type: ignore[arg-type]
    rows = json.loads(text)["points"] if form == "json" else list(csv.DictReader(io.StringIO(text)))
    assert [int(row["point"]) for row in rows] == [2]
    assert int(rows[0]["size_bytes"]) == front[1].size_bytes
