"""Published searches: what their tables say is what their files are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import rdsearch
from rdsearch.compression.loading import decode
from rdsearch.points.front import Front
from rdsearch.search.store.folder import SearchFolder

PUBLISHED = sorted(path.parent for path in Path(__file__).parent.parent.glob("results/*/front.csv"))


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


def test_published_files_have_the_accuracies_of_their_table(published: Path) -> None:
    from rdsearch.search.task import task_of
    from rdsearch.tasks.splits import Split

    if "RDSEARCH_DATA" not in os.environ:
        pytest.skip("needs the data in RDSEARCH_DATA")
    task = task_of(SearchFolder.open(published).search_file())
    test: Split = task.test_split()
    for point in list(front_of(published))[:: max(1, len(front_of(published)) // 4)]:
        network = rdsearch.load(point.path or b"", into=task.fresh_network())
        assert task.score(network) == pytest.approx(point.val_accuracy, abs=1e-9)
        assert task.score(network, split=test) == pytest.approx(point.test_accuracy, abs=1e-9)
