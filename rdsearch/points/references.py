"""Published points as CSV: what papers and other programs report, to be shown beside a front."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from rdsearch.base.units import UnitError, parse_share, parse_size
from rdsearch.errors import SearchError

_NEEDED = ("name", "size_bytes", "accuracy")
_KNOWN = (*_NEEDED, "source")


@dataclass(frozen=True, slots=True)
class Reference:
    """A compressed network that somebody else has reported.

    Attributes:
        name: What to call it, such as the method.
        size_bytes: Its size.
        accuracy: Its accuracy as a share of 1, on the test split as papers have it.
        source: Where it was reported; may be empty.
    """

    name: str
    size_bytes: int
    accuracy: float
    source: str = ""


def read_references(csv_path: Path) -> list[Reference]:
    """Read a table with the columns ``name``, ``size_bytes``, ``accuracy`` and, where wanted, ``source``.

    A size is a number of bytes or has a unit (``8.56 kB``); an accuracy is a share of 1 or a percentage (``98.1 %``).

    Raises:
        SearchError: The file is missing, lacks a column, or has a cell that is no size or no accuracy.
    """
    try:
        with csv_path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns = list(reader.fieldnames or [])
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SearchError(f"{csv_path} cannot be read as a table of published points: {error}") from None
    missing = [name for name in _NEEDED if name not in columns]
    unknown = [name for name in columns if name not in _KNOWN]
    if missing or unknown:
        raise SearchError(
            f"{csv_path} has the columns {', '.join(columns) or 'of no table'}: published points want "
            f"{', '.join(_NEEDED)} and, if you like, source (one row: EPR, 8.56 kB, 0.981, Oktay et al. 2020)"
        )
    return [_reference(csv_path, line, row) for line, row in rows]


def _reference(csv_path: Path, line: int, row: dict[str, str]) -> Reference:
    # A row that is too long has a list under no name, a short one has None.
    if None in row or any(row[name] is None for name in _NEEDED):
        raise SearchError(f"{csv_path}, line {line}: the row has not as many cells as the table has columns")
    try:
        accuracy = parse_share(row["accuracy"])
        size = parse_size(row["size_bytes"])
    except UnitError as error:
        raise SearchError(f"{csv_path}, line {line}: {error}") from None
    if accuracy > 1:
        raise SearchError(
            f"{csv_path}, line {line}: accuracy {row['accuracy'].strip()} is no share of 1: write 0.981 or 98.1%"
        )
    return Reference(row["name"].strip(), size, accuracy, (row.get("source") or "").strip())
