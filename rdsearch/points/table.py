"""Operating points as CSV: ``points.csv``, every point of a search, and ``front.csv``, its front.

The fixed columns come first, then one column a recipe parameter under its dotted name, written so that it
reads back as the same value of the same type (see :mod:`rdsearch.points.scalars`). An empty cell is a parameter that
the recipe does not have.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rdsearch.base.files import write_atomically
from rdsearch.errors import SearchError
from rdsearch.points.columns import DERIVED_COLUMNS, FRONT_COLUMNS, POINT_COLUMNS, record
from rdsearch.points.front import Front, parameter_names
from rdsearch.points.point import OperatingPoint
from rdsearch.points.scalars import format_cell, parse_cell, parse_number

_INTEGERS = {"point", "trial", "round", "size_bytes", "val_examples"}
_OPTIONAL = {"trial", "test_accuracy"}


def write_points(csv_path: Path, points: Iterable[OperatingPoint]) -> None:
    """Write points in the order given, the file whole or not at all.

    A point's file under the CSV's folder is written relative to it, so that the folder can be moved.

    Raises:
        SearchError: A parameter has the name of a column, or its name or value cannot stand in a cell.
    """
    rows = [(record(point, POINT_COLUMNS), point) for point in points]
    write_atomically(csv_path, _csv_text(rows, POINT_COLUMNS, csv_path.parent))


def read_points(csv_path: Path) -> list[OperatingPoint]:
    """Read what `write_points` wrote: equal points, with absolute paths.

    Raises:
        SearchError: The file is missing, lacks a column, or has a cell that is no number where one belongs.
    """
    return _read(csv_path, POINT_COLUMNS)


def write_front(csv_path: Path, front: Front) -> None:
    """Write a front, ``point`` counted from 1 at the smallest file; otherwise as `write_points`."""
    write_atomically(csv_path, front_csv(front, folder=csv_path.parent))


def read_front(
    csv_path: Path, *, baseline_accuracy: float, baseline_size_bytes: int, n_validation: int | None = None
) -> Front:
    """Read what `write_front` wrote; the dense network's figures and the part's size come from the manifest.

    Raises:
        SearchError: As for `read_points`.
    """
    points = _read(csv_path, [name for name in FRONT_COLUMNS if name not in DERIVED_COLUMNS])
    return Front(
        points,
        baseline_accuracy=baseline_accuracy,
        baseline_size_bytes=baseline_size_bytes,
        n_validation=n_validation,
    )


def front_csv(front: Front, *, folder: Path | None = None, chosen: OperatingPoint | None = None) -> str:
    """The text of ``front.csv``.

    Args:
        front: The front.
        folder: Files under it are named relative to it, all others absolutely.
        chosen: Only this point of the front, under its own number.
    """
    rows = [
        (figures, point)
        for figures, point in zip(front.records(), front, strict=True)
        if chosen is None or point == chosen
    ]
    return _csv_text(rows, FRONT_COLUMNS, folder)


def _csv_text(
    rows: Sequence[tuple[Mapping[str, Any], OperatingPoint]], columns: Sequence[str], folder: Path | None
) -> str:
    names = parameter_names(point for _, point in rows)
    _check_names(names)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, *names])
    for figures, point in rows:
        fixed = [_fixed_cell(column, figures[column], folder) for column in columns]
        free = [format_cell(point.parameters[name]) if name in point.parameters else "" for name in names]
        writer.writerow([*fixed, *free])
    return text.getvalue()


def _fixed_cell(column: str, value: Any, folder: Path | None) -> str:
    if value is None:
        return ""
    if column == "file":
        path = Path(value)
        inside = folder is not None and path.is_relative_to(folder.absolute())
        return (path.relative_to(folder.absolute()) if inside and folder else path).as_posix()
    return str(int(value)) if column in _INTEGERS else repr(float(value))


def _check_names(names: Sequence[str]) -> None:
    taken = sorted({*POINT_COLUMNS, *FRONT_COLUMNS}.intersection(names))
    if taken:
        raise SearchError(
            f"a recipe parameter is named {taken[0]!r}, which is a column of its own in the table: "
            "give its full dotted name (pruning.rate)."
        )
    for name in names:
        if not name.isprintable():
            raise SearchError(f"the parameter name {name!r} has characters that cannot be printed: rename it.")


def _read(csv_path: Path, columns: Sequence[str]) -> list[OperatingPoint]:
    try:
        with csv_path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(reader.line_num, row) for reader in [csv.reader(file)] for row in reader if row]
    except FileNotFoundError as error:
        raise SearchError(f"there is no {csv_path}: give the folder of a search that has run.") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise SearchError(f"{csv_path} is no table that rdsearch wrote: {error}.") from error
    header = rows[0][1] if rows else []
    missing = [column for column in columns if column not in header]
    if missing:
        raise SearchError(
            f"{csv_path} has no column {', '.join(missing)}: it was edited, or another program wrote it. "
            f"It needs the columns {', '.join(columns)}."
        )
    root = csv_path.absolute().parent
    return [_point(csv_path, line, header, row, columns, root) for line, row in rows[1:]]


def _point(
    csv_path: Path, line: int, header: list[str], row: list[str], columns: Sequence[str], root: Path
) -> OperatingPoint:
    if len(row) != len(header):
        raise SearchError(
            f"{csv_path}, line {line}: {len(row)} cells under {len(header)} columns; the line is damaged."
        )
    cells = dict(zip(header, row, strict=True))
    file = cells.pop("file")
    for name in DERIVED_COLUMNS:
        cells.pop(name, None)
    fixed = {name: _number(csv_path, line, name, cells.pop(name)) for name in columns if name != "file"}
    parameters = {name: parse_cell(text) for name, text in cells.items() if text != ""}
    return OperatingPoint(**fixed, parameters=parameters, path=root / file if file else None)


def _number(csv_path: Path, line: int, name: str, text: str) -> Any:
    if text == "" and name in _OPTIONAL:
        return None
    try:
        return parse_number(text, int if name in _INTEGERS else float)
    except ValueError as error:
        raise SearchError(f"{csv_path}, line {line}, column {name}: {error}.") from error
