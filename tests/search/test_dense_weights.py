"""The dense weights belong to the search: another machine, or another cache, goes on with the same ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from rdsearch.errors import SearchError
from rdsearch.search.store.folder import SearchFolder
from rdsearch.search.task import searched_task
from rdsearch.tasks.training import baseline


def on_another_machine(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv("RDSEARCH_CACHE", str(cache))

    def no_training(*_: object, **__: object) -> None:
        raise AssertionError("the dense network was trained again")

    monkeypatch.setattr(baseline, "train", no_training)


def test_dense_weights_come_from_the_searchs_folder(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SearchFolder(finished)
    here = searched_task(folder).dense_state()
    on_another_machine(monkeypatch, tmp_path)
    there = searched_task(folder)
    assert there.fingerprint == folder.read_manifest()["task_fingerprint"]
    assert list(there.dense_state()) == list(here)
    for name, array in there.dense_state().items():
        np.testing.assert_array_equal(array, here[name])
        assert not array.flags.writeable


def test_damaged_dense_weights_are_not_believed(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SearchFolder(shutil.copytree(finished, tmp_path / "search"))
    data = bytearray(folder.dense.read_bytes())
    data[-5] ^= 4
    folder.dense.write_bytes(bytes(data))
    assert searched_task(folder).fingerprint == folder.read_manifest()["task_fingerprint"]  # this machine's cache
    on_another_machine(monkeypatch, tmp_path / "cache")
    with pytest.raises(SearchError, match=r"dense\.safetensors is missing or damaged"):
        searched_task(folder)


def test_a_training_that_was_changed_is_refused_before_it_begins(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SearchFolder(shutil.copytree(finished, tmp_path / "search"))
    text = folder.config.read_text()
    assert "epochs: 4" in text
    folder.config.write_text(text.replace("epochs: 4", "epochs: 5"))
    on_another_machine(monkeypatch, tmp_path / "cache")
    with pytest.raises(SearchError, match="was trained in another way"):
        searched_task(folder)
