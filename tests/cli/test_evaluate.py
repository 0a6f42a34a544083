from __future__ import annotations

from pathlib import Path

import pytest

import rdsearch
from rdsearch.base.units import standard_error
from rdsearch.tasks.task import Task
from tests.commands import Run


def test_evaluate_prints_what_the_search_measured(run: Run, finished: Path) -> None:
    point = rdsearch.load_front(finished)[-1]
    assert point.path is not None
    status, out, _ = run("evaluate", point.path, finished / "config.yaml")
    assert status == 0
    error = standard_error(point.val_accuracy, 300)
    assert out == (
        f"{point.path}: {point.size_bytes:,} bytes, validation accuracy {point.val_accuracy:.4f} ± {error:.4f} "
        "(standard error) on 300 examples\n"
    )
    assert run("evaluate", point.path, finished)[1] == out


def test_evaluate_reads_the_test_split_only_when_told(
    run: Run, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    original = Task.test_split
    monkeypatch.setattr(Task, "test_split", lambda task: read.append(task) or original(task))
    path = rdsearch.load_front(finished)[0].path
    assert run("evaluate", path, finished)[0] == 0
    assert not read
    status, out, _ = run("evaluate", path, finished, "--test")
    assert status == 0
    assert "The test split was read" in out
    assert "bytes, test accuracy 0." in out
    assert "on 360 examples" in out
    assert read


def test_evaluate_refuses_another_networks_file(run: Run, finished: Path, tmp_path: Path) -> None:
    path = rdsearch.load_front(finished)[0].path
    task = tmp_path / "other.yaml"
    task.write_text("task: {network: 'torchvision:squeezenet1_1', dataset: digits}\n")
    status, _, err = run("evaluate", path, task)
    assert status == 2
    assert err.startswith("Error: ")
    status, _, err = run("evaluate", tmp_path / "none.rdz", finished)
    assert status == 2
    assert "cannot be read" in err
