"""Published points as people write them down, and what is wrong with a table of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdsearch.errors import SearchError
from rdsearch.points.references import Reference, read_references


def table(folder: Path, text: str) -> Path:
    path = folder / "published.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_sizes_have_units_and_accuracies_may_be_percentages(tmp_path: Path) -> None:
    text = "name, size_bytes, accuracy, source\nEPR, 8.56 kB, 98.1 %, Oktay et al. 2020\nMIRACLE, 1520, 0.9904,\n"
    assert read_references(table(tmp_path, text)) == [
        Reference("EPR", 8560, 0.981, "Oktay et al. 2020"),
        Reference("MIRACLE", 1520, 0.9904),
    ]


def test_a_source_may_be_left_out_and_a_spreadsheet_may_have_begun_the_file_with_a_mark(tmp_path: Path) -> None:
    assert read_references(table(tmp_path, "\ufeffname,size_bytes,accuracy\nA,1 MB,0.5\n")) == [
        Reference("A", 1_000_000, 0.5)
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,bytes\nA,3\n", "has the columns name, bytes: published points want name, size_bytes, accuracy"),
        ("", "has the columns of no table"),
        ("name,size_bytes,accuracy\nA,big,0.5\n", "line 2: 'big' is no size"),
        ("name,size_bytes,accuracy\nA,3 kB,98.1\n", "line 2: accuracy 98.1 is no share of 1: write 0.981 or 98.1%"),
        ("name,size_bytes,accuracy\nA,3 kB\n", "line 2: the row has not as many cells"),
        ("name,size_bytes,accuracy\nA,3,000,0.5\n", "line 2: the row has not as many cells"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SearchError) as caught:
        read_references(table(tmp_path, text))
    assert said in str(caught.value)


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"gone\.csv cannot be read"):
        read_references(tmp_path / "gone.csv")
