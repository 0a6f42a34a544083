"""Files from others: what they name, and where they point."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

import rdsearch
from rdsearch.config.searchfile import check_search
from rdsearch.config.yamlfile import read_yaml, write_yaml
from rdsearch.errors import ConfigError, SearchError, TaskError
from rdsearch.search.api import start
from rdsearch.search.outcome.results import read_results, write_results
from rdsearch.search.store.folder import SearchFolder
from rdsearch.search.store.objectstore import object_store
from rdsearch.search.store.trust import foreign_functions, require_trust, trust
from rdsearch.search.task import searched_task
from rdsearch.tasks.imports import ImportedFactory
from tests.searches import SPACE

OWN = SPACE | {"task": {"network": "some_module:make", "dataset": "digits", "validation": 300}}


@pytest.mark.parametrize(
    "path",
    ["os:system", "subprocess:run", "shutil:rmtree", "builtins:exec", "runpy:run_path", "rdsearch.cli:sys.exit"],
)
def test_nothing_of_pythons_own_library_is_called(path: str) -> None:
    with pytest.raises(TaskError, match="of Python's own library"):
        ImportedFactory(path, {}).load()


def test_a_module_of_pythons_own_is_not_even_imported(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TaskError, match="of Python's own library"):
        ImportedFactory("this:s", {}).load()
    assert capsys.readouterr().out == ""


def test_functions_of_somebody_elses_search_run_only_after_a_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RDSEARCH_CACHE", str(tmp_path / "cache"))
    mine = SearchFolder.create(tmp_path / "mine", check_search(OWN, source="here", name="mine"))
    trust(mine)
    assert foreign_functions(mine) == []
    moved = SearchFolder.open(shutil.copytree(mine.path, tmp_path / "moved"))
    assert foreign_functions(moved) == []

    monkeypatch.setenv("RDSEARCH_CACHE", str(tmp_path / "cache of somebody else"))
    assert foreign_functions(moved) == ["some_module:make"]
    with pytest.raises(SearchError, match=r"was not made by you .*runs some_module:make .*give --trust"):
        searched_task(moved)
    with pytest.raises(SearchError, match="--trust"):
        rdsearch.resume(moved.path, console=Console(quiet=True))
    trust(moved)
    require_trust(moved)
    tree = read_yaml(moved.config)
    tree["task"]["network"] = "other_module:make"
    write_yaml(moved.config, tree)
    assert foreign_functions(moved) == ["other_module:make"]


def test_a_search_that_names_registered_things_alone_needs_no_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = start(SPACE, out=tmp_path / "search")
    monkeypatch.setenv("RDSEARCH_CACHE", str(tmp_path / "elsewhere"))
    assert foreign_functions(folder) == []


@pytest.mark.parametrize("name", ["front", "trials", "study.journal", ".tune"])
def test_a_part_of_the_folder_that_is_a_symbolic_link_is_not_written_through(
    finished: Path, tmp_path: Path, name: str
) -> None:
    folder, elsewhere = tmp_path / "search", tmp_path / "elsewhere"
    shutil.copytree(finished, folder)
    elsewhere.mkdir()
    if (folder / name).is_dir():
        shutil.rmtree(folder / name)
    else:
        (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(elsewhere)
    with pytest.raises(SearchError, match="is a symbolic link"):
        rdsearch.resume(folder, trials=7, console=Console(quiet=True))
    with pytest.raises(SearchError, match="is a symbolic link"):
        write_results(read_results(folder))
    assert list(elsewhere.iterdir()) == []


def test_a_front_file_that_is_a_link_or_cut_off_is_made_again(finished: Path, tmp_path: Path) -> None:
    folder, secret = tmp_path / "search", tmp_path / "secret.txt"
    shutil.copytree(finished, folder)
    secret.write_text("secret")
    first, second = sorted((folder / "front").glob("*.rdz"))[:2]
    before = first.read_bytes(), second.read_bytes()
    first.unlink()
    first.symlink_to(secret)
    second.write_bytes(before[1][:-3])
    write_results(read_results(folder))
    assert (first.read_bytes(), second.read_bytes()) == before
    assert not first.is_symlink()
    assert secret.read_text() == "secret"


@pytest.mark.parametrize("content", ["{}", "[]", "null", "3", "[" * 100_000, '{"baseline": {"val_accuracy": null}}'])
@pytest.mark.parametrize("name", ["manifest.json", "test.json"])
def test_a_file_that_holds_something_else_is_named(finished: Path, tmp_path: Path, name: str, content: str) -> None:
    folder = tmp_path / "search"
    shutil.copytree(finished, folder)
    (folder / name).write_text(content)
    if name == "test.json" and content == "{}":
        assert read_results(folder).points
        return
    with pytest.raises(SearchError, match=rf"{name} is damaged"):
        read_results(folder)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u@host/db?password=S3cret",
        "postgresql://u@host/db?connect_timeout=2&sslpassword=S3cret",
        "mysql://u@host/db?passwd=S3cret",
        "postgresql://u:S3cret@host/db",
    ],
)
def test_a_password_in_a_databases_address_is_refused_and_not_shown(url: str) -> None:
    tree = SPACE | {"search": {"storage": url}}
    with pytest.raises(ConfigError, match="password") as caught:
        check_search(tree, source="here", name="x")
    assert "S3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["s3://KEY:S3cret@bucket/a", "s3://bucket/a?secret_key=S3cret", "s3://bucket/a?access_key=S3cret"]
)
def test_keys_in_an_object_stores_address_are_refused_and_not_shown(address: str, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="the keys in it would be shown") as caught:
        object_store(address)
    assert "S3cret" not in str(caught.value)
    with pytest.raises(SearchError):
        start(SPACE, out=address)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_interrupted_before_its_first_round_is_no_published_search(
    finished: Path, tmp_path: Path
) -> None:
    folder = SearchFolder(shutil.copytree(finished, tmp_path / "search"))
    shutil.rmtree(folder.trials)
    assert folder.is_published
    rows = folder.points.read_text().splitlines(keepends=True)
    folder.points.write_text(rows[0])
    assert not folder.is_published
    assert read_results(folder.path).points == []


def test_the_number_of_trials_is_on_disk_before_anything_long_begins(tmp_path: Path) -> None:
    folder, _ = start(SPACE, out=tmp_path / "search")
    folder.write_target(17)
    assert folder.search_file().trials == 17
    assert read_yaml(folder.config)["id"]
    assert json.dumps(read_yaml(folder.config)["recipe"], sort_keys=True) == json.dumps(SPACE["recipe"], sort_keys=True)
