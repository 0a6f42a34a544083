"""Published searches: what their tables say is what their files are."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

import rdsearch
from rdsearch.compression.loading import decode
from rdsearch.points.front import Front
from rdsearch.search.store.folder import SearchFolder

RESULTS = Path(__file__).parent.parent / "results"
# What results/README.md lists, and not what lies there: a user's own searches land in the same folder.
LISTED = re.findall(r"^\| \[\w+\]\((\w+)\)", (RESULTS / "README.md").read_text(encoding="utf-8"), re.M)
PUBLISHED = [RESULTS / name for name in LISTED]


@pytest.fixture(params=PUBLISHED, ids=lambda folder: folder.name)
def published(request: pytest.FixtureRequest) -> Path:
    folder = request.param
    assert isinstance(folder, Path)
    return folder


def front_of(folder: Path) -> Front:
    return rdsearch.load_front(folder)


def test_published_files_have_the_sizes_of_their_table_and_decode(published: Path) -> None:
    front = front_of(published)
    assert len(front) > 0
    for point in front:
        assert point.path is not None
        assert point.path.stat().st_size == point.size_bytes
        assert decode(point.path).network_id is not None
        assert point.test_accuracy is not None


def test_what_is_published_is_listed_and_what_a_user_has_searched_is_not_looked_at() -> None:
    command = ["git", "ls-files", "--cached", "results/*/front.csv"]
    listing = subprocess.run(command, cwd=RESULTS.parent, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a checkout")
    assert [name.split("/")[1] for name in listing.stdout.splitlines()] == LISTED


def test_published_files_have_the_accuracies_of_their_table(published: Path) -> None:
    from rdsearch.search.task import task_of
    from rdsearch.tasks.splits import Split

    if "RDSEARCH_DATA" not in os.environ:
        pytest.skip("needs the data in RDSEARCH_DATA")
    file = SearchFolder.open(published).search_file()
    if file.task is not None and "/" in file.task.dataset and not Path(file.task.dataset).exists():
        pytest.skip(f"needs {file.task.dataset}, which is in no data set's folder")
    task = task_of(file)
    test: Split = task.test_split()
    for point in list(front_of(published))[:: max(1, len(front_of(published)) // 4)]:
        network = rdsearch.load(point.path or b"", into=task.fresh_network())
        assert task.score(network) == pytest.approx(point.val_accuracy, abs=1e-9)
        assert task.score(network, split=test) == pytest.approx(point.test_accuracy, abs=1e-9)
