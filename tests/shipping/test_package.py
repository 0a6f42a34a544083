"""What is shipped runs where it is alone, and does what the search measured."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import rdsearch
from rdsearch.errors import SearchError
from rdsearch.shipping import programs
from rdsearch.shipping.checks import same_score
from rdsearch.shipping.package import Shipment, ship
from rdsearch.shipping.programs import CannotExportError, export
from rdsearch.tasks.networks.digits_cnn import digits_cnn
from rdsearch.tasks.splits import ArraySplit
from rdsearch.tasks.task import Task
from tests.commands import Run


@pytest.fixture(scope="module")
def shipped(finished: Path, digits_task: Task, tmp_path_factory: pytest.TempPathFactory) -> Shipment:
    out = tmp_path_factory.mktemp("shipped") / "out"
    return ship(finished, rdsearch.load_front(finished)[-1], out, task=digits_task, command="rdsearch ship there")


def outputs_of(shipment: Shipment, batch: torch.Tensor) -> np.ndarray:
    network = rdsearch.load(shipment.folder / "network.rdz", into=digits_cnn())
    with torch.no_grad():
        return network(batch).numpy()


def predict(
    shipment: Shipment, *words: object, without: str = "torch", status: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run predict.py where neither rdsearch nor one of the runtimes can be imported."""
    code = (
        f"import runpy, sys; sys.modules[{without!r}] = None; sys.modules['rdsearch'] = None\n"
        f"sys.argv = ['predict.py', *sys.argv[1:]]; runpy.run_path({str(shipment.folder / 'predict.py')!r}, "
        "run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done


def test_every_file_is_there_and_says_what_was_checked(shipped: Shipment) -> None:
    assert {path.name for path in shipped.folder.iterdir()} == set(shipped.sizes)
    assert not shipped.notes
    accuracy = f"validation accuracy {shipped.point.val_accuracy:.4f}"
    assert accuracy in shipped.checked["network.onnx"]
    assert "opset 18; run by onnxruntime" in shipped.checked["network.onnx"]
    assert accuracy in shipped.checked["network.pt2"]
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o044 for path in shipped.folder.iterdir())
    assert shipped.sizes["network.rdz"] == shipped.point.size_bytes


def test_the_weights_are_those_of_the_file(shipped: Shipment) -> None:
    weights = load_file(shipped.folder / "network.safetensors")
    decoded = rdsearch.load(shipped.folder / "network.rdz")
    assert weights.keys() == decoded.keys()
    assert all(torch.equal(weights[name], decoded[name]) for name in decoded)


@pytest.mark.parametrize("without", ["torch", "onnxruntime"])
def test_predict_needs_one_runtime_and_no_rdsearch(
    shipped: Shipment, digits_task: Task, tmp_path: Path, without: str
) -> None:
    split = digits_task.validation
    assert isinstance(split, ArraySplit)
    rows = split.rows[:5]
    np.save(tmp_path / "five.npy", split.stored_inputs[rows])
    Image.fromarray(split.stored_inputs[rows[0], 0]).save(tmp_path / "one.png")
    done = predict(shipped, tmp_path / "five.npy", tmp_path / "one.png", "-o", tmp_path / "out.npy", without=without)
    batch = next(iter(split.batches(5)))[0]
    wanted = outputs_of(shipped, torch.cat([batch, batch[:1]]))
    assert np.allclose(np.load(tmp_path / "out.npy"), wanted, rtol=1e-3, atol=1e-4)
    assert f"one.png: class {wanted[0].argmax()} (" in done.stdout


def test_predict_refuses_what_it_would_have_to_guess(shipped: Shipment, tmp_path: Path) -> None:
    np.save(tmp_path / "floats.npy", np.zeros((1, 8, 8), np.float32))
    assert "pixels from 0 to 255 as uint8 are needed" in predict(shipped, tmp_path / "floats.npy", status=1).stderr
    np.save(tmp_path / "wide.npy", np.zeros((3, 8, 9), np.uint8))
    assert "has shape (3, 8, 9): (1, 8, 8)" in predict(shipped, tmp_path / "wide.npy", status=1).stderr
    Image.new("RGB", (16, 16)).save(tmp_path / "large.png")
    assert "16 x 16 pixels: 8 x 8 are needed, or --resize" in predict(shipped, tmp_path / "large.png", status=1).stderr
    predict(shipped, tmp_path / "large.png", "--resize")


def test_the_card_has_figures_recipe_and_provenance(shipped: Shipment, finished: Path) -> None:
    card = (shipped.folder / "README.md").read_text()
    manifest = json.loads((finished / "manifest.json").read_text())
    assert f"{shipped.point.size_bytes:,} bytes" in card
    assert f"{shipped.point.val_accuracy:.4f} ± " in card
    assert "(standard error, 300 examples)" in card
    assert "`rdsearch test` reads the test split" in card
    assert manifest["task_fingerprint"] in card
    assert "`rdsearch ship there`" in card
    assert "pixels from 0 to 255 divided by 255" in card
    provenance = json.loads((shipped.folder / "provenance.json").read_text())
    for name, digest in provenance["sha256"].items():
        assert hashlib.sha256((shipped.folder / name).read_bytes()).hexdigest() == digest


def test_the_recipe_makes_the_file_again(shipped: Shipment, digits_task: Task) -> None:
    from rdsearch.config.searchfile import load_recipe_file

    recipe = load_recipe_file(shipped.folder / "recipe.yaml")
    *_, last = rdsearch.compress(digits_task, recipe, seed=3, device="cpu")
    assert last.data == (shipped.folder / "network.rdz").read_bytes()


def test_a_tested_file_is_shipped_with_its_test_figure_and_without_onnx_where_that_is_missing(
    run: Run, search_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("test", search_copy)[0] == 0
    monkeypatch.setattr(programs, "find_spec", lambda name: None if name == "onnxscript" else object())
    out = tmp_path / "out"
    for _ in range(2):  # what was shipped before is replaced
        status, said, err = run("ship", search_copy, "--knee", "-o", out)
        assert status == 0, err
    assert "network.onnx is left out: onnxscript not installed here" in " ".join(said.split())
    assert not (out / "network.onnx").exists()
    assert "(standard error, 360 examples)" in (out / "README.md").read_text()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_ship_wants_one_point_and_a_folder_of_its_own(run: Run, finished: Path, tmp_path: Path) -> None:
    status, _, err = run("ship", finished, "-o", tmp_path / "out")
    assert status == 2
    assert "say which point" in err
    status, _, err = run("ship", finished, "--point", 99, "-o", tmp_path / "out")
    assert status == 2
    assert "the front has" in err
    (tmp_path / "mine.txt").write_text("mine")
    status, _, err = run("ship", finished, "--point", 1, "-o", tmp_path)
    assert status == 2
    assert "holds something else" in err
    assert (tmp_path / "mine.txt").read_text() == "mine"
    status, _, err = run("ship", finished, "--point", 1, "-o", tmp_path / "no" / "out")
    assert "there is no folder" in err


def test_another_task_is_refused_and_leaves_nothing(finished: Path, digits_task: Task, tmp_path: Path) -> None:
    other = digits_task.glimpse(64)
    with pytest.raises(SearchError, match="its validation part differs"):
        ship(finished, rdsearch.load_front(finished)[0], tmp_path / "out", task=other)
    assert not list(tmp_path.iterdir())


def test_scores_agree_but_for_the_order_of_sums(digits_task: Task) -> None:
    assert same_score(digits_task, 0.95, 0.95 + 2 / 300)
    assert not same_score(digits_task, 0.95, 0.95 + 3 / 300)


class Branching(nn.Module):
    """What it does depends on values, which a graph cannot hold."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs if inputs.sum() > 0 else -inputs


class Double(nn.Module):
    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return inputs, inputs


def test_what_cannot_become_a_program_is_said_in_a_sentence() -> None:
    example = torch.ones(4, 3)
    with pytest.raises(CannotExportError, match=r"torch\.export cannot trace it"):
        export(Branching(), example)
    with pytest.raises(CannotExportError, match="its output is no tensor"):
        export(Double(), example)
    with pytest.raises(CannotExportError, match="takes a dict"):
        export(nn.Linear(3, 2), {"input": example})
