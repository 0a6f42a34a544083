"""A search in an object store: all that counts is there, whatever becomes of the machine that drives it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from rdsearch.search.store.objectstore import ObjectStore, object_store
from rdsearch.search.store.studies import ShippedJournal
from tests.searches import SPACE

RDSEARCH = [sys.executable, "-c", "from rdsearch.cli import main; main()"]
Machine = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(SPACE | {"search": SPACE["search"] | {"trials": 12}}))
    return path


@pytest.fixture
def environment(s3: str, tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Environment of a machine with the name given; machines share nothing but the store."""
    return lambda machine: os.environ | {"RDSEARCH_CACHE": str(tmp_path / machine), "HOME": str(tmp_path)}


@pytest.fixture
def run(environment: Callable[[str], dict[str, str]], tmp_path: Path) -> Machine:
    """Run a command on a machine."""

    def run(machine: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*RDSEARCH, *arguments],
            env=environment(machine),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    return run


def published(place: ObjectStore) -> dict[str, bytes]:
    return {name: place.read(name) for name in place.tree("trials") if name.endswith("point.json")}


def test_search_in_an_object_store_survives_the_loss_of_its_driver(
    s3: str, space_file: Path, environment: Callable[[str], dict[str, str]], run: Machine, tmp_path: Path
) -> None:
    place, log = object_store(s3), tmp_path / "log"
    with log.open("wb") as output:
        driver = subprocess.Popen(
            [*RDSEARCH, "search", str(space_file), "--out", s3],
            env=environment("first"),
            cwd=tmp_path,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + 300
    try:
        while len(published(place)) < 3:
            assert driver.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        second = run("first", "resume", s3)
        assert second.returncode == 2
        assert "is in use by process" in second.stderr
    finally:
        driver.kill()
        driver.wait()
    before = published(place)

    resumed = run("second", "resume", s3)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert before.items() <= published(place).items()
    assert not place.exists(".lock")
    assert study_states(place, tmp_path) == ["COMPLETE"] * 12
    names = place.tree()
    assert {"config.yaml", "manifest.json", "points.csv", "front.csv", "report.html"} <= set(names)
    assert not [name for name in names if name.endswith("checkpoint.safetensors")]

    shown = json.loads(run("third", "front", s3, "--format", "json").stdout)["points"]
    stored = [json.loads(content)["size_bytes"] for content in published(place).values()]
    assert shown
    for point in shown:
        assert point["size_bytes"] in stored
        assert Path(point["file"]).stat().st_size == point["size_bytes"]
    assert sorted(len(place.read(name)) for name in names if name.startswith("front/") and name.endswith(".rdz")) == [
        point["size_bytes"] for point in shown
    ]

    tested = run("third", "test", s3)
    assert tested.returncode == 0, tested.stderr
    assert len(json.loads(place.read("test.json"))) == len(shown) + 2
    again = run("first", "test", s3)
    assert "on record; the test split was not read again" in again.stdout.replace("\n", " "), again.stderr


def study_states(place: ObjectStore, folder: Path) -> list[str]:
    import optuna

    study = ShippedJournal(folder / "copy.journal", place, place.address)
    storage = study.open()  # it then knows the name
    opened = optuna.load_study(study_name=study.name, storage=storage)
    return [trial.state.name for trial in opened.get_trials() if trial.state.name != "WAITING"]


def test_prefix_that_holds_something_else_is_not_taken(s3: str, space_file: Path, run: Machine) -> None:
    object_store(s3).write("notes.txt", b"mine")
    refused = run("first", "search", str(space_file), "--out", s3)
    assert refused.returncode == 2
    assert f"{s3} is not empty" in refused.stderr


def test_prefix_without_a_search_is_a_clear_error(s3: str, run: Machine) -> None:
    missing = run("first", "front", s3)
    assert missing.returncode == 2
    assert f"{s3} holds no search" in missing.stderr
