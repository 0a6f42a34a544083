from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.search.store.journal import mend

LINE = st.binary(max_size=30).map(lambda line: line.replace(b"\n", b""))


@given(st.lists(LINE.filter(bool), max_size=5), st.integers(0, 3), LINE)
def test_mending_cuts_a_torn_last_line_and_blank_ones_before_it_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], blank: int, torn: bytes
) -> None:
    journal = tmp_path_factory.mktemp("journal") / "study.journal"
    whole = b"".join(line + b"\n" for line in lines)
    journal.write_bytes(whole + b"\n" * blank + torn)
    mend(journal)
    assert journal.read_bytes() == whole
    mend(journal)
    assert journal.read_bytes() == whole


@pytest.mark.parametrize("torn", [1, 65_535, 65_536, 65_537, 200_000])
def test_a_long_torn_line_is_cut_as_well(tmp_path: Path, torn: int) -> None:
    journal = tmp_path / "study.journal"
    journal.write_bytes(b"first\nsecond\n" + b"x" * torn)
    mend(journal)
    assert journal.read_bytes() == b"first\nsecond\n"


def test_mending_takes_a_stale_lock_away_and_makes_no_journal(tmp_path: Path) -> None:
    journal = tmp_path / "study.journal"
    (tmp_path / "study.journal.lock").symlink_to(tmp_path / "nowhere")
    mend(journal)
    assert list(tmp_path.iterdir()) == []
