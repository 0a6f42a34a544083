from __future__ import annotations

import sys

import pytest

from benchmarks.quantization import File, between, explore, main, select


def file(step: float, accuracy: float) -> File:
    return File(step, 0.0, bytes(int(1000 / step)), accuracy, 0.0)


def test_for_each_bound_the_smallest_file_that_keeps_it_is_selected() -> None:
    files = [file(1, 0.9), file(2, 0.893), file(4, 0.87), file(5, 0.891), file(8, 0.4)]
    selected = select(files, dense=0.9)
    assert [chosen and chosen.step for chosen in selected.values()] == [5, 5, 5]
    assert select(files, dense=0.95)[0.01] is None


def test_a_step_is_looked_for_where_the_accuracy_last_passes_the_bound() -> None:
    files = [file(1, 0.9), file(2, 0.8), file(4, 0.7), file(8, 0.5)]
    assert between(files, 0.6) == pytest.approx(4 * 2**0.5)
    assert between(files, 0.95) is None
    assert between(files, 0.3) is None
    assert between([file(1, 0.9), file(1.05, 0.5)], 0.7) is None


def test_exploring_ends_where_the_accuracy_is_gone_and_looks_closer_at_the_bounds() -> None:
    files = explore(lambda step: file(step, 0.9 - step / 100), (1.0, 2.0, 4.0, 8.0, 16.0, 32.0), 0.9, refinements=2)
    steps = [each.step for each in files]
    assert steps == sorted(steps)
    assert max(steps) == 16
    assert any(4 < step < 8 for step in steps)


def test_exploring_goes_on_beyond_the_grid_until_all_bounds_are_passed() -> None:
    files = explore(lambda step: file(step, 0.9 - step / 100), (2.0, 2.5), 0.9, refinements=0)
    assert files[0].step <= 1
    assert files[-1].accuracy < 0.85


def test_the_table_has_a_row_a_method_with_and_without_matching(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["quantization", "--refinements", "0", "--rows", "rounding", "magnitude", "sequential"]
    )
    main()
    lines = capsys.readouterr().out.splitlines()
    table = lines[lines.index(next(line for line in lines if line.startswith("Bytes of"))) + 2 :]
    names = ("rounding", "magnitude", "sequential")
    assert [line.split()[0] for line in table] == [name for name in names for _ in range(2)]
    assert ["matched" in line for line in table] == [False, True] * 3
    assert "cores; Python" in lines[0]
