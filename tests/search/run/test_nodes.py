"""What a node must have to do a trial's work."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rdsearch.search.run.nodes import fault_here, needs, own_modules
from rdsearch.search.store.places import Folder


def test_a_node_like_this_one_lacks_nothing_and_nothing_is_left_behind(tmp_path: Path) -> None:
    wanted = needs(Folder(tmp_path))
    assert fault_here(wanted) == ""
    assert [path.name for path in tmp_path.iterdir()] == [wanted.sign]


@pytest.mark.parametrize("name", ["Python", "rdsearch", "torch"])
def test_other_versions_are_named(tmp_path: Path, name: str) -> None:
    wanted = needs(Folder(tmp_path))
    other = replace(wanted, versions=wanted.versions | {name: "0.9"})
    assert fault_here(other) == (
        f"has {name} {wanted.versions[name]} and the driver 0.9: install the same on both, or take the node away"
    )


def test_a_module_that_cannot_be_imported_is_named_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "needs_more.py").write_text("import not_there_at_all\n")
    wanted = needs(Folder(tmp_path))
    assert fault_here(replace(wanted, modules=("needs_more",))) == (
        "cannot import needs_more (ModuleNotFoundError: No module named 'not_there_at_all'): "
        "install what it needs there"
    )


def test_a_folder_that_is_not_the_drivers_is_told(tmp_path: Path) -> None:
    wanted = needs(Folder(tmp_path))
    (tmp_path / wanted.sign).write_text("another")
    assert f"does not see {tmp_path}" in fault_here(wanted)
    missing = replace(wanted, place=Folder(tmp_path / "not mounted"))
    assert "mount the folder there at the same path" in fault_here(missing)
    assert not (tmp_path / "not mounted").exists()


def test_modules_of_the_working_directory_are_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "alone.py").write_text("")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/__init__.py").write_text("from parts import one\n")
    (tmp_path / "parts/one.py").write_text("")
    (tmp_path / "venv/lib/site-packages").mkdir(parents=True)
    (tmp_path / "venv/lib/site-packages/installed.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "venv/lib/site-packages")
    try:
        for name in ("alone", "parts", "installed"):
            __import__(name)
        assert own_modules() == {"alone": tmp_path / "alone.py", "parts": tmp_path / "parts"}
    finally:
        for name in ("alone", "parts", "parts.one", "installed"):
            sys.modules.pop(name, None)
