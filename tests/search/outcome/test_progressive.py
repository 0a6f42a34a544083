from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

import rdsearch
from rdsearch.coding.networkfile import prefix_ends
from rdsearch.report.progressive import progressive_table, progressive_text
from rdsearch.search.outcome import progressive
from rdsearch.search.outcome.progressive import progressive_points
from rdsearch.search.outcome.results import read_results
from rdsearch.search.task import task_of
from tests.searches import SPACE


@pytest.fixture(scope="module")
def layered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search of one trial whose files have up to three layers."""
    folder = tmp_path_factory.mktemp("searches") / "layered"
    recipe = {"pruning": {"rounds": 2, "rate": 0.5}, "retrain": {"epochs": 0}, "quantization": {"quality_layers": 3}}
    space = {**SPACE, "recipe": recipe, "search": {"trials": 1, "constraints": {}}}
    rdsearch.search(space, out=folder, console=Console(quiet=True))
    return folder


def test_every_prefix_of_the_fronts_files_has_its_own_size_and_score(layered: Path) -> None:
    results = read_results(layered)
    before = results.folder.front_csv.read_bytes(), results.folder.points.read_bytes()
    points = progressive_points(results)
    task = task_of(results.folder.search_file())
    assert len(points) > len(results.front)
    for point in points:
        data = point.figures.path.read_bytes()
        assert point.quality_layers == len(prefix_ends(data))
        prefix = data[: prefix_ends(data)[point.quality_layer - 1]]
        assert point.figures.size_bytes == len(prefix)
        assert point.figures.val_accuracy == task.score(rdsearch.load(prefix, into=task.fresh_network()))
        assert point.figures.accuracy_drop == results.front.baseline_accuracy - point.figures.val_accuracy
    whole = [point.figures for point in points if point.quality_layer == point.quality_layers]
    assert whole == list(results.front)
    assert (results.folder.front_csv.read_bytes(), results.folder.points.read_bytes()) == before


def test_a_prefix_is_scored_once(layered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = progressive_points(read_results(layered))

    def no_task(*_: object) -> None:
        raise AssertionError("the task was made again")

    monkeypatch.setattr(progressive, "searched_task", no_task)
    assert progressive_points(read_results(layered)) == first


def test_the_best_prefixes_are_those_that_nothing_beats(layered: Path) -> None:
    points = progressive_points(read_results(layered))
    assert any(point.best for point in points)
    for point in points:
        beaten = any(
            other.figures.size_bytes <= point.figures.size_bytes
            and other.figures.val_accuracy >= point.figures.val_accuracy
            and (other.figures.size_bytes, other.figures.val_accuracy)
            != (point.figures.size_bytes, point.figures.val_accuracy)
            for other in points
        )
        assert point.best is not beaten


def test_the_table_is_also_csv_and_json(layered: Path) -> None:
    points = progressive_points(read_results(layered))
    rows = list(csv.DictReader(io.StringIO(progressive_text(points, "csv"))))
    records = json.loads(progressive_text(points, "json"))["quality_layers"]
    assert [int(row["size_bytes"]) for row in rows] == [point.figures.size_bytes for point in points]
    assert [record["val_accuracy"] for record in records] == [point.figures.val_accuracy for point in points]
    assert [Path(record["file"]) for record in records] == [point.figures.path for point in points]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(progressive_table(points))
    text = console.export_text()
    for point in points:
        assert f"{point.quality_layer} of {point.quality_layers}" in text
        assert f"{point.figures.size_bytes:,}" in text


def test_a_changed_task_is_refused(layered: Path) -> None:
    results = read_results(layered)
    results.folder.quality_layers.unlink(missing_ok=True)
    results.manifest["task_fingerprint"] = "another"
    with pytest.raises(rdsearch.errors.SearchError, match="the task has changed"):
        progressive_points(results)
