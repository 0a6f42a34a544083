from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdsearch.errors import SearchError
from rdsearch.points.front import Front
from rdsearch.points.point import OperatingPoint, Scalar
from rdsearch.points.scalars import format_cell, parse_cell
from rdsearch.points.table import (
    FRONT_COLUMNS,
    POINT_COLUMNS,
    front_csv,
    read_front,
    read_points,
    write_front,
    write_points,
)

TRICKY = ["", " ", "12", "1.0", "1e5", "nan", "-inf", "true", "null", "None", '"', '"quoted"', "a,b", "a\r\nb"]
TRICKY += ["\x00", "\ud800", "=1+1", "ε", "007", "+3", "1_000", "٣", " 3", "3 ", "\ufeff", "'", "\x1b[31m"]
texts = st.text(max_size=12) | st.sampled_from(TRICKY)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
names = st.from_regex(r"[a-z]{1,4}\.[a-z*?\[\], \"]{1,6}", fullmatch=True)
numbers = st.floats(allow_nan=False)
points_ = st.builds(
    OperatingPoint,
    size_bytes=st.integers(1, 10**12),
    val_accuracy=numbers,
    accuracy_drop=numbers,
    compression_ratio=numbers,
    sparsity=numbers,
    rate_bits_per_weight=numbers,
    seconds=numbers,
    round=st.integers(0, 1000),
    parameters=st.dictionaries(names, scalars.filter(lambda value: value == value), max_size=4),
    trial=st.none() | st.integers(0, 10**6),
)
into_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def point(**changes: Any) -> OperatingPoint:
    return replace(OperatingPoint(1000, 0.9, 0.05, 40.0, 0.95, 0.3, 1.5, 2, {"pruning.rate": 0.2}, trial=7), **changes)


def typed(parameters: Any) -> dict[str, tuple[type, Scalar]]:
    return {name: (type(value), value) for name, value in parameters.items()}


@given(scalars)
def test_a_cell_gives_back_the_value_and_its_type(value: Scalar) -> None:
    back = parse_cell(format_cell(value))
    assert type(back) is type(value)
    assert repr(back) == repr(value)


@given(texts)
def test_a_cell_has_one_printable_line(text: str) -> None:
    assert format_cell(text).isprintable()
    assert format_cell(text) != ""


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("surp", "surp"),
        ("conv*", "conv*"),
        (0.2, "0.2"),
        (1.0, "1.0"),
        (12, "12"),
        (True, "true"),
        (None, "null"),
        ("12", '"12"'),
        ("", '""'),
        ("true", '"true"'),
        (math.inf, "inf"),
        (np.float64(0.1), "0.1"),
    ],
)
def test_a_cell_is_what_a_person_would_type(value: Scalar, cell: str) -> None:
    assert format_cell(value) == cell


def test_what_is_no_scalar_has_no_cell() -> None:
    with pytest.raises(SearchError, match=r"\[0\.5, 0\.3\] is a list: .* a string, a number"):
        format_cell([0.5, 0.3])  # type: ignore[arg-type]


@given(st.lists(points_, max_size=5))
@into_one_folder
def test_points_round_trip_exactly(tmp_path: Path, points: list[OperatingPoint]) -> None:
    path = tmp_path / "points.csv"
    write_points(path, points)
    back = read_points(path)
    assert back == points
    assert [typed(one.parameters) for one in back] == [typed(one.parameters) for one in points]


@given(st.lists(points_, max_size=5), st.none() | st.floats(0, 1))
@into_one_folder
def test_a_front_round_trips_exactly(tmp_path: Path, points: list[OperatingPoint], test: float | None) -> None:
    path = tmp_path / "front.csv"
    tested = [replace(one, test_accuracy=test) for one in points]
    front = Front(tested, baseline_accuracy=0.95, baseline_size_bytes=40_000)
    write_front(path, front)
    back = read_front(path, baseline_accuracy=0.95, baseline_size_bytes=40_000)
    assert list(back) == list(front)
    assert (back.baseline_accuracy, back.baseline_size_bytes) == (0.95, 40_000)


def test_not_a_number_is_kept_in_points_csv(tmp_path: Path) -> None:
    write_points(tmp_path / "points.csv", [point(val_accuracy=math.nan, accuracy_drop=math.nan)])
    (back,) = read_points(tmp_path / "points.csv")
    assert math.isnan(back.val_accuracy)
    assert math.isnan(back.accuracy_drop)


def test_numpy_numbers_are_written_as_numbers(tmp_path: Path) -> None:
    given_ = point(size_bytes=np.int64(7), val_accuracy=np.float32(0.5), sparsity=np.float64(0.1))
    write_points(tmp_path / "points.csv", [given_])
    (back,) = read_points(tmp_path / "points.csv")
    assert (back.size_bytes, back.val_accuracy, back.sparsity) == (7, 0.5, 0.1)


def test_columns_are_fixed_then_parameters_sorted(tmp_path: Path) -> None:
    points = [point(parameters={"b.x": 1, "a.y": "surp"}), point(parameters={"a.z": None})]
    write_points(tmp_path / "points.csv", points)
    with (tmp_path / "points.csv").open(newline="") as file:
        header, first, second = csv.reader(file)
    assert header == [*POINT_COLUMNS, "a.y", "a.z", "b.x"]
    assert first[-3:] == ["surp", "", "1"]
    assert second[-3:] == ["", "null", ""]


def test_front_csv_counts_points_from_the_smallest_file() -> None:
    points = [point(size_bytes=size, val_accuracy=size / 1000, trial=size) for size in (300, 100, 200)]
    front = Front(points, baseline_accuracy=0.95, baseline_size_bytes=40_000)
    header, *rows = [line.split(",") for line in front_csv(front).splitlines()]
    assert header == [*FRONT_COLUMNS, "pruning.rate"]
    assert [row[:2] for row in rows] == [["1", "100"], ["2", "200"], ["3", "300"]]
    chosen = front_csv(front, chosen=front[1]).splitlines()
    assert [line.split(",")[0] for line in chosen] == ["point", "2"]


def test_a_file_inside_the_folder_moves_with_it(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    write_points(old / "points.csv", [point(path=old / "front" / "1.rdz"), point(path=tmp_path / "2.rdz")])
    old.rename(new)
    inside, outside = read_points(new / "points.csv")
    assert inside.path == new / "front" / "1.rdz"
    assert outside.path == tmp_path / "2.rdz"


def test_relative_paths_are_read_back_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_points(Path("points.csv"), [point(path=Path("front/1.rdz"))])
    assert "front/1.rdz" in Path("points.csv").read_text()
    assert str(tmp_path) not in Path("points.csv").read_text()
    assert read_points(Path("points.csv"))[0].path == tmp_path / "front" / "1.rdz"


@pytest.mark.parametrize("name", ["trial", "size_bytes", "file", "test_accuracy", "point"])
def test_a_parameter_may_not_take_a_columns_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(SearchError, match=f"named '{name}'"):
        write_points(tmp_path / "points.csv", [point(parameters={name: 1})])
    assert not (tmp_path / "points.csv").exists()


def test_a_parameter_name_must_be_printable(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="cannot be printed"):
        write_points(tmp_path / "points.csv", [point(parameters={"a\nb": 1})])


def test_a_missing_table_asks_for_a_searchs_folder(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"there is no .*points\.csv.*folder of a search"):
        read_points(tmp_path / "points.csv")


def edited(tmp_path: Path, old: str, new: str) -> Path:
    path = tmp_path / "points.csv"
    write_points(path, [point(), point(trial=8)])
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("size_bytes", "bytes", "no column size_bytes"),
        ("8,2,1000", "8,2,1000.5", r"line 3, column size_bytes: '1000.5' is not a whole number"),
        ("8,2,1000,0.9", "8,2,1000,good", r"line 3, column val_accuracy: 'good' is not a number"),
        ("8,2,1000,0.9", "8,2,1000,", r"line 3, column val_accuracy: '' is not a number"),
        ("8,2,1000", "8,2,1000,1", "line 3: 12 cells under 11 columns"),
    ],
)
def test_a_damaged_table_names_the_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(SearchError, match=message):
        read_points(edited(tmp_path, old, new))


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"\x00\x01\x02", b"trial,round\n1,2\n", b'"' + b"x" * 200_000]
)
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "points.csv").write_bytes(content)
    with pytest.raises(SearchError, match=r"another program wrote it|no table that rdsearch wrote"):
        read_points(tmp_path / "points.csv")


def test_a_table_saved_by_a_spreadsheet_still_reads(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    write_points(path, [point()])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert read_points(path) == [point()]
