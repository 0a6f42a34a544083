from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.errors import SearchError
from rdsearch.search.store.journal import exclusive, mend


def test_a_second_holder_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    code = (
        "import sys; from pathlib import Path; from rdsearch.search.store.journal import exclusive\n"
        "with exclusive(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with (
        pytest.raises(SearchError, match=rf"is in use by process {process.pid} on .*: wait for it to end"),
        exclusive(lock),
    ):
        pass
    process.kill()
    process.communicate()
    with exclusive(lock):  # the lock went with the process
        assert "process" in lock.read_text()


def test_the_lock_is_free_after_the_block_even_if_that_failed(tmp_path: Path) -> None:
    def fail() -> None:
        with exclusive(tmp_path / ".lock"):
            raise KeyError("inside")

    with pytest.raises(KeyError):
        fail()
    with exclusive(tmp_path / ".lock"):
        pass


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=5), st.binary(max_size=30))
def test_mending_cuts_a_torn_last_line_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], torn: bytes
) -> None:
    journal = tmp_path_factory.mktemp("journal") / "study.journal"
    whole = b"".join(line + b"\n" for line in lines)
    journal.write_bytes(whole + torn.replace(b"\n", b""))
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
