from __future__ import annotations

import sys

import pytest

from benchmarks.quantization import main, size_at


def test_the_size_at_an_accuracy_lies_between_the_two_files_around_it() -> None:
    curve = [(0.1, 400, 0.9), (0.2, 300, 0.88), (0.4, 200, 0.8), (0.8, 100, 0.4)]
    assert size_at(curve, 0.89) == pytest.approx(350)
    assert size_at(curve, 0.82) == pytest.approx(225)
    assert size_at(curve, 0.95) is None
    assert size_at(curve, 0.3) is None


def test_where_the_accuracy_is_not_monotone_the_coarsest_crossing_counts() -> None:
    assert size_at([(0.1, 400, 0.9), (0.2, 300, 0.7), (0.4, 200, 0.9), (0.8, 100, 0.5)], 0.8) == pytest.approx(175)


def test_the_quick_table_has_a_row_a_method_with_and_without_matching(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["quantization", "--quick", "--rows", "uniform", "sequential"])
    main()
    lines = capsys.readouterr().out.splitlines()
    table = lines[lines.index(next(line for line in lines if line.startswith("kB at"))) + 2 :]
    assert [line.split()[0] for line in table] == ["uniform", "uniform", "sequential", "sequential"]
    assert ["matched" in line for line in table] == [False, True, False, True]
    assert "cores; Python" in lines[0]
