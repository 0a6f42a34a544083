"""Repositories in Hugging Face's layout: in a folder, and by the Hub's own client from a server here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

import rdsearch
from rdsearch.compression.loading import decode
from rdsearch.errors import FileFormatError, RdsearchError
from rdsearch.shipping.repository import pull, push
from tests.commands import Run
from tests.shipping.hub_server import hub

SEARCH = Path(__file__).parents[2] / "results" / "digits_bytes"


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def pushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    push(SEARCH, "./pushed")
    return tmp_path / "pushed"


def test_a_front_goes_into_a_folder_and_comes_back_as_it_was(pushed: Path, run: Run, tmp_path: Path) -> None:
    front = rdsearch.load_front(SEARCH)
    status, out, err = run("pull", "./pushed", "pulled")
    assert status == 0, err
    assert "rdsearch info pulled/front/" in out
    found = files(tmp_path / "pulled")
    assert found == files(pushed)
    assert {name for name in found if name.endswith(".rdz")} == {
        f"front/{point.path.name}" for point in front if point.path
    }
    for point in front:
        assert point.path is not None
        assert found[f"front/{point.path.name}"] == point.path.read_bytes()


def test_the_card_begins_with_metadata_and_names_every_file_with_its_figures(pushed: Path) -> None:
    _, metadata, text = (pushed / "README.md").read_text().split("---\n", 2)
    told = yaml.safe_load(metadata)
    assert told["library_name"] == "rdsearch"
    assert "pruning" in told["tags"]
    config = json.loads((pushed / "config.json").read_text())
    for point in rdsearch.load_front(SEARCH):
        assert point.path is not None
        (line,) = [line for line in text.splitlines() if f"[`{point.path.name}`](front/{point.path.name})" in line]
        assert f"| {point.size_bytes:,} |" in line
        assert f"{point.val_accuracy:.4f} ± " in line
        (entry,) = [entry for entry in config["points"] if entry["file"].endswith(point.path.name)]
        assert entry["test_accuracy"] == point.test_accuracy


def test_one_file_is_chosen_as_ship_chooses_it_and_weights_stand_beside_it(
    pushed: Path, run: Run, tmp_path: Path
) -> None:
    status, out, err = run("push", str(SEARCH), "./pushed", "--max-drop", "1%", "--safetensors")
    assert status == 0, err
    point = rdsearch.load_front(SEARCH).pick(max_drop=0.01)
    assert point.path is not None
    name = f"front/{point.path.stem}"
    # What was pushed before is replaced.
    assert set(files(pushed)) == {
        "README.md",
        "config.json",
        f"{name}.rdz",
        f"{name}.recipe.yaml",
        f"{name}.safetensors",
    }
    decoded = decode(point.path).state_dict()
    weights = load_file(pushed / f"{name}.safetensors")
    assert all(np.array_equal(weights[key], decoded[key]) for key in weights)
    assert f"{name}.rdz" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("push", "SEARCH", "./new", "--knee", "--point", "1"), "say which point in one way"),
        (("push", "SEARCH", "name"), "'name' is no repository: give owner/name, or a folder as ./name"),
        (("push", "SEARCH", "./nowhere/new"), "there is no folder"),
        (("push", "SEARCH", "./mine"), "holds something else than a repository of rdsearch"),
        (("pull", "./pushed", "mine"), "holds something else than a repository of rdsearch"),
        (("pull", "./nothing", "new"), "./nothing: there is no such folder"),
        (("pull", "./mine", "new"), "is no repository that rdsearch has pushed"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_lost(
    pushed: Path, run: Run, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    status, _, err = run(*[str(SEARCH) if word == "SEARCH" else word for word in words])
    assert status == 2
    assert said in err
    assert files(tmp_path / "mine") == {"notes.txt": b"mine"}
    assert not (tmp_path / "new").exists()


def test_a_file_of_ones_own_among_the_repositorys_is_not_lost(pushed: Path) -> None:
    (pushed / "front" / "notes.txt").write_text("mine")
    with pytest.raises(RdsearchError, match=r"notes\.txt is none of the repository's files, and would be lost"):
        push(SEARCH, "./pushed")
    assert (pushed / "front" / "notes.txt").read_text() == "mine"


def test_damage_and_names_that_lead_elsewhere_are_refused(pushed: Path, tmp_path: Path) -> None:
    file = next((pushed / "front").glob("*.rdz"))
    sound = file.read_bytes()
    file.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    with pytest.raises(RdsearchError, match=rf"front/{file.name} is not what config\.json says"):
        pull("./pushed", "out")
    file.unlink()
    with pytest.raises(RdsearchError, match=rf"front/{file.name} is missing"):
        pull("./pushed", "out")
    config = json.loads((pushed / "config.json").read_text())
    for name in ("../mine.rdz", "front/../../mine.rdz", "/tmp/mine.rdz", "front/code.py"):  # noqa: S108
        told = config | {"files": {name: {"size_bytes": 1, "sha256": "0"}}}
        (pushed / "config.json").write_text(json.dumps(told))
        with pytest.raises(RdsearchError, match="lists other files"):
            pull("./pushed", "out")
    (pushed / "config.json").write_text(json.dumps(config | {"format": 2}))
    with pytest.raises(RdsearchError, match="of format 2, this rdsearch reads 1"):
        pull("./pushed", "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_of_the_front_is_not_pushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    point = rdsearch.load_front(SEARCH)[0]
    assert point.path is not None
    broken = tmp_path / point.path.name
    broken.write_bytes(point.path.read_bytes()[:-2])
    with pytest.raises(FileFormatError):
        push(SEARCH, "./new", points=[replace(point, path=broken)])
    assert not (tmp_path / "new").exists()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, dict[str, bytes]]]:
    """The repositories of a server that the Hub's client takes for the Hub."""
    constants = pytest.importorskip("huggingface_hub.constants")
    with hub() as (address, repositories):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
        monkeypatch.chdir(tmp_path)
        yield repositories


def test_a_front_goes_to_the_hub_and_comes_back(
    server: dict[str, dict[str, bytes]], pushed: Path, run: Run, tmp_path: Path
) -> None:
    status, out, err = run("push", str(SEARCH), "me/digits")
    assert status == 0, err
    assert "/me/digits/commit/" in out
    assert server["me/digits"] == files(pushed)
    status, _, err = run("pull", "me/digits", "pulled")
    assert status == 0, err
    assert files(tmp_path / "pulled") == files(pushed)
    # Another push leaves nothing of this one behind.
    status, _, err = run("push", str(SEARCH), "me/digits", "--point", "1")
    assert status == 0, err
    assert len([name for name in server["me/digits"] if name.endswith(".rdz")]) == 1


def test_what_the_hub_refuses_is_one_sentence(server: dict[str, dict[str, bytes]], run: Run, tmp_path: Path) -> None:
    status, _, err = run("pull", "me/nothing", "pulled")
    assert status == 2
    assert err.startswith("Error: me/nothing: ")
    assert "owner/name" not in err
    assert not (tmp_path / "pulled").exists()
