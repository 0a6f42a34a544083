"""What a search has found, by the commands `front`, `test` and `report`."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import pytest

from rdsearch.search.outcome.results import read_results
from rdsearch.search.store.folder import SearchFolder
from tests.commands import Run


def test_front_table_shows_every_point_of_front_csv(run: Run, search_copy: Path) -> None:
    status, out, _ = run("front", search_copy)
    assert status == 0
    _, text, _ = run("front", search_copy, "--format", "csv")
    rows = list(csv.DictReader(text.splitlines()))
    assert rows
    for row in rows:
        assert f"{int(row['size_bytes']):,}" in out


def test_front_files_have_the_sizes_and_accuracies_that_are_printed(run: Run, search_copy: Path) -> None:
    from rdsearch.compression.loading import load
    from rdsearch.search.task import task_of

    run("report", search_copy)
    task = task_of(SearchFolder.open(search_copy).search_file())
    with (search_copy / "front.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(list((search_copy / "front").glob("*.rdz"))) == len(rows) > 0
    for row in rows:
        path = search_copy / row["file"]
        assert path.parent == search_copy / "front"
        assert path.stat().st_size == int(row["size_bytes"])
        assert task.score(load(path, into=task.fresh_network())) == float(row["val_accuracy"])
        assert path.with_suffix(".recipe.yaml").exists()


def test_front_json_has_the_baseline_and_the_parameters(run: Run, search_copy: Path) -> None:
    _, text, _ = run("front", search_copy, "--format", "json")
    front = json.loads(text)
    manifest = json.loads((search_copy / "manifest.json").read_text())
    assert front["baseline"] == manifest["baseline"]
    assert "pruning.rate" in front["points"][0]["parameters"]


def test_front_table_says_how_sure_its_accuracies_are(run: Run, search_copy: Path) -> None:
    _, out, _ = run("front", search_copy)
    assert "standard error of val: 0." in out
    assert "(300 examples)" in out


def test_front_picks_one_point(run: Run, search_copy: Path) -> None:
    from rdsearch.search.outcome.results import load_front

    front = load_front(search_copy)
    for options, wanted in (
        (("--max-drop", "0.5"), front[0]),
        (("--max-drop", "50%"), front[0]),
        (("--max-bytes", "1M"), front[-1]),
        (("--max-drop", "0.5", "--confidence", "0.95"), front.pick(max_drop=0.5, confidence=0.95)),
        (("--knee",), front.knee()),
        (("--standard-error",), front.within_standard_error(300)),
    ):
        status, out, _ = run("front", search_copy, *options, "--format", "json")
        assert status == 0
        assert [point["size_bytes"] for point in json.loads(out)["points"]] == [wanted.size_bytes]


def test_front_wants_one_way_of_choosing(run: Run, search_copy: Path) -> None:
    status, _, err = run("front", search_copy, "--knee", "--max-drop", "0.1")
    assert status == 2
    assert "only one of" in err


def test_front_by_estimated_accuracies_keeps_the_sizes_of_the_files(run: Run, search_copy: Path) -> None:
    status, text, _ = run("front", search_copy, "--estimated", "--format", "json")
    points = json.loads(text)["points"]
    assert status == 0
    assert points
    assert all(Path(point["file"]).stat().st_size == point["size_bytes"] for point in points)
    status, _, err = run("front", search_copy, "--confidence", "0.95")
    assert status == 2
    assert "--max-drop" in err


def test_front_that_nothing_fits_names_the_nearest_miss(run: Run, search_copy: Path) -> None:
    status, _, err = run("front", search_copy, "--max-bytes", "10")
    assert status == 2
    assert "10" in err
    assert "Traceback" not in err


def test_test_reads_the_test_split_once_and_writes_it_beside_the_front(
    run: Run, search_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rdsearch.tasks.task import Task

    reads = []
    test_split = Task.test_split
    monkeypatch.setattr(Task, "test_split", lambda self: reads.append(1) or test_split(self))
    status, out, _ = run("test", search_copy)
    assert status == 0
    assert "test" in out
    with (search_copy / "front.csv").open() as file:
        accuracies = [float(row["test_accuracy"]) for row in csv.DictReader(file)]
    assert all(0 < accuracy <= 1 for accuracy in accuracies)
    recorded = json.loads((search_copy / "test.json").read_text())
    assert set(recorded) == {
        "baseline",
        "examples",
        *(hashlib.sha256(path.read_bytes()).hexdigest() for path in (search_copy / "front").glob("*.rdz")),
    }
    status, out, _ = run("test", search_copy)
    assert status == 0
    assert "not read again" in out
    assert len(reads) == 1


def test_report_writes_one_page(run: Run, search_copy: Path) -> None:
    status, out, _ = run("report", search_copy)
    assert status == 0
    page = Path(out.strip()).read_text()
    assert "digits_cnn-digits" in page
    assert (search_copy / "front.png").stat().st_size > 10_000


def test_a_run_speaks_to_programs_or_not_at_all(run: Run, search_copy: Path) -> None:
    status, out, err = run("resume", search_copy, "--json")
    assert (status, err) == (0, "")
    *messages, end = [json.loads(line) for line in out.splitlines()]
    assert {message["event"] for message in messages} <= {"message", "phase"}
    front = read_results(search_copy).front
    assert (end["event"], end["ending"], len(end["points"])) == ("end", "finished", len(front))
    assert end["points"][0]["size_bytes"] == front[0].size_bytes
    status, out, _ = run("resume", search_copy, "--quiet")
    assert status == 0
    assert out.splitlines()[1].split()[:2] == ["#", "bytes"]  # the table of the end, and nothing before it


def test_several_searches_and_published_points_are_one_report(
    run: Run, search_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other = Path(__file__).parents[2] / "results" / "mnist_lenet300"
    Path("points.csv").write_text("name,size_bytes,accuracy\nEPR,8.56 kB,98.1%\n")
    status, out, err = run("report", search_copy, other, "--reference", "points.csv")
    assert (status, out) == (0, "comparison.html\n")
    assert "Published points are test accuracies, the searches' are validation accuracies" in err
    page = Path("comparison.html").read_text()
    assert all(name in page for name in (search_copy.name, "mnist_lenet300", "EPR"))
    status, out, _ = run("report", other, "--reference", "points.csv", "-o", "front.pdf", "-o", "front.tex")
    assert (status, out) == (0, "front.pdf\nfront.tex\n")
    assert Path("front.pdf").read_bytes().startswith(b"%PDF")
    assert "EPR & " in Path("front.tex").read_text()
    status, _, err = run("report", other, "-o", "front.docx")
    assert status == 2
    assert "a report is a file that ends in .html" in err
