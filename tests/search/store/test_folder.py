from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from rdsearch.config.searchfile import SearchFile, check_search, load_search_file
from rdsearch.errors import ConfigError, SearchError
from rdsearch.search.store.folder import SearchFolder
from rdsearch.search.store.lock import FolderLock

TREE: dict[str, Any] = {
    "task": {"network": "digits_cnn", "dataset": "digits"},
    "recipe": {"pruning": {"rate": {"float": [0.1, 0.5]}}},
    "search": {"trials": 4, "constraints": {"accuracy_drop": 1e-3}},
}


@pytest.fixture
def file() -> SearchFile:
    return check_search(TREE, source="here", name="mine")


def test_a_search_file_comes_back_from_its_folder(tmp_path: Path, file: SearchFile) -> None:
    SearchFolder.create(tmp_path / "a" / "b", file)
    assert SearchFolder.open(tmp_path / "a" / "b").search_file() == file


def test_overrides_are_in_the_folders_search_file(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(TREE))
    overridden = load_search_file(path, ["search.trials=9", "recipe.pruning.rounds={int: [1, 2]}"])
    read = SearchFolder.create(tmp_path / "out", overridden).search_file()
    assert (read.name, read.search.trials) == ("space", 9)
    assert list(read.space.parameters) == ["pruning.rate", "pruning.rounds"]


def test_a_folder_that_holds_a_search_is_not_taken_for_another(tmp_path: Path, file: SearchFile) -> None:
    SearchFolder.create(tmp_path, file).write_manifest({})
    with pytest.raises(SearchError, match="holds a search already: go on with `rdsearch resume"):
        SearchFolder.create(tmp_path, file)


def test_a_search_that_never_began_makes_room_for_another(tmp_path: Path, file: SearchFile) -> None:
    before = SearchFolder.create(tmp_path, file).config.read_text()
    with FolderLock(tmp_path / ".lock").held(), pytest.raises(SearchError, match="is in use by"):
        SearchFolder.create(tmp_path, file)
    assert SearchFolder.create(tmp_path, file).config.read_text() != before


def test_a_file_of_that_name_that_is_no_searchs_stays(tmp_path: Path, file: SearchFile) -> None:
    (tmp_path / "config.yaml").write_text("mine: precious")
    with pytest.raises(SearchError):
        SearchFolder.create(tmp_path, file)
    assert (tmp_path / "config.yaml").read_text() == "mine: precious"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path, file: SearchFile) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(SearchError, match="taken cannot be written"):
        SearchFolder.create(tmp_path / "taken", file)


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_a_folder_without_a_search_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SearchError, match=r"holds no search: it has no config\.yaml"):
        SearchFolder.open(tmp_path / name)


def test_paths_are_absolute_wherever_the_trials_run(
    tmp_path: Path, file: SearchFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = SearchFolder.create(Path("out"), file)
    monkeypatch.chdir("/")
    assert folder.path == tmp_path / "out"
    assert folder.trials == tmp_path / "out" / "trials"
    assert folder.search_file().name == "mine"


def test_a_damaged_search_file_is_explained(tmp_path: Path, file: SearchFile) -> None:
    folder = SearchFolder.create(tmp_path, file)
    folder.config.write_text("task: {network: lenet30, dataset: digits}\n")
    with pytest.raises(ConfigError, match=r"config\.yaml: 1 mistake\n  - task\.network: unknown network"):
        folder.search_file()


def test_manifest_and_test_scores_come_back(tmp_path: Path, file: SearchFile) -> None:
    folder = SearchFolder.create(tmp_path, file)
    with pytest.raises(SearchError, match="has not begun; begin it with `rdsearch resume"):
        folder.read_manifest()
    assert folder.read_tests() == {}
    manifest = {
        "name": "é",
        "baseline": {"val_accuracy": 0.5, "size_bytes": 9},
        "split_sizes": {"train": 4, "validation": 2},
    }
    folder.write_manifest(manifest)
    folder.write_tests({"abc": 0.5})
    assert folder.read_manifest() == manifest
    assert folder.read_tests() == {"abc": 0.5}
    folder.manifest.write_text("{")
    with pytest.raises(SearchError, match=r"manifest\.json is damaged"):
        folder.read_manifest()
