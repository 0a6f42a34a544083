"""What a trial takes of the machine's memory, said before workers are killed for it."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from rich.console import Console

from rdsearch.search import api, memory
from rdsearch.search.memory import Peak, crowded, machine_memory
from tests.searches import SPACE

GB = 10**9


def test_what_fits_is_not_mentioned() -> None:
    assert crowded(3 * GB, 5, 16 * GB) is None


def test_what_does_not_fit_is_said_with_the_number_that_does() -> None:
    line = crowded(3 * GB, 8, 16 * GB)
    assert line is not None
    assert "at least 3.00 GB" in line
    assert "8 at a time need 24.0 GB, and this machine has 16.0 GB" in line
    assert "set resources.concurrent to 5," in line


def test_a_trial_that_does_not_fit_alone_is_no_matter_of_how_many_at_a_time() -> None:
    line = crowded(20 * GB, 2, 16 * GB)
    assert line is not None
    assert "concurrent" not in line


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_memory_that_was_given_back_counts_and_that_of_before_does_not() -> None:
    np.ones(40_000_000)  # 320 MB, before
    held = Peak()
    np.ones(20_000_000)
    assert 150_000_000 < held.grown() < 250_000_000


def test_the_machine_has_as_much_memory_as_its_container_may_use(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("cgroup")
    (folder / "limit").write_text("123456789\n")
    (folder / "none").write_text("max\n")
    monkeypatch.setattr(memory, "_CGROUP_LIMITS", (folder / "none", folder / "limit", folder / "gone"))
    assert machine_memory() == 123_456_789


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_a_search_says_it_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "machine_memory", lambda: 500_000_000)
    said = io.StringIO()
    api.dry_run(SPACE, console=Console(file=said, width=200))
    assert "A trial takes at least" in said.getvalue()
    assert "this machine has 500 MB" in said.getvalue()
