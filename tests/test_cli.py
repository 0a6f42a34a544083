"""The commands, run as a user runs them: what they print, write and return."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import rdsearch
from rdsearch.coding.networkfile import prefix_ends
from rdsearch.compression.packing.pack import pack
from rdsearch.config.recipe import QuantizationRecipe
from rdsearch.tasks.networks.identity import build_network
from tests.commands import Run


@pytest.fixture(scope="session")
def rdz(finished: Path) -> Path:
    return next(finished.glob("trials/*/round_*/network.rdz"))


@pytest.fixture
def task_file(finished: Path, tmp_path: Path) -> Path:
    path = tmp_path / "task.yaml"
    task = yaml.safe_load((finished / "config.yaml").read_text())["task"]
    path.write_text(yaml.safe_dump(task))
    return path


def test_help_lists_every_command_and_each_has_help(run: Run) -> None:
    commands = ["init", "search", "resume", "front", "test", "report", "watch", "ship", "push", "pull"]
    commands += ["train", "compress", "decode", "info", "evaluate", "truncate", "validate", "spaces", "schema"]
    status, out, _ = run("--help")
    assert status == 0
    listed = [line for line in out.partition("Commands:")[2].splitlines() if line.strip()]
    assert [line.split()[0] for line in listed] == commands
    assert [line for line in listed if line.endswith("...") or len(line) > 80] == []
    for command in commands:
        status, out, _ = run(command, "--help")
        assert status == 0
        assert "Usage:" in out


def test_train_shows_the_cached_baseline(run: Run, task_file: Path, finished: Path) -> None:
    status, out, _ = run("train", task_file)
    assert status == 0
    accuracy = json.loads((finished / "manifest.json").read_text())["baseline"]["val_accuracy"]
    error = (accuracy * (1 - accuracy) / 300) ** 0.5
    assert f"validation accuracy {accuracy:.4f} ± {error:.4f} (standard error) on 300 examples" in out
    assert "epoch" not in out  # it was in the cache


def test_recipe_of_a_front_point_makes_its_file_again(run: Run, search_copy: Path, task_file: Path) -> None:
    run("report", search_copy)
    seed = yaml.safe_load((search_copy / "config.yaml").read_text())["search"]["seed"]
    wanted = next((search_copy / "front").glob("*.rdz"))
    output = search_copy / "again.rdz"
    status, _, err = run("compress", task_file, wanted.with_suffix(".recipe.yaml"), "-o", output, "--seed", seed)
    assert status == 0, err
    assert output.read_bytes() == wanted.read_bytes()


def test_decode_writes_the_weights(run: Run, rdz: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    from rdsearch.compression.loading import load

    output = tmp_path / "out.safetensors"
    status, out, _ = run("decode", rdz, "-o", output)
    assert status == 0
    state = load(rdz)
    assert f"{len(state)} tensors" in out
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert output.stat().st_mode == ordinary.stat().st_mode
    for name, array in load_file(output).items():
        np.testing.assert_array_equal(array, state[name].numpy())


def test_what_inputs_were_normalised_by_is_told_beside_the_file_and_by_info(run: Run, search_copy: Path) -> None:
    run("report", search_copy)
    file = next((search_copy / "front").glob("*.rdz"))
    told = yaml.safe_load(file.with_suffix(".recipe.yaml").read_text())["inputs"]
    assert told == {"shape": [1, 8, 8], "divided_by": 255.0, "mean": 0.305, "std": 0.376}
    said = "inputs: (1, 8, 8) an example, pixels from 0 to 255 divided by 255, minus mean 0.305, divided by std 0.376"
    assert said in " ".join(run("info", file)[1].split())
    shipped = search_copy / "shipped"
    shipped.mkdir()
    alone = shutil.copy(file, shipped / "network.rdz")
    assert "there is no recipe.yaml in its folder" in run("info", alone)[1]
    shutil.copy(file.with_suffix(".recipe.yaml"), shipped / "recipe.yaml")
    assert said in " ".join(run("info", alone)[1].split())


def test_info_parts_add_up_to_the_file(run: Run, rdz: Path) -> None:
    status, out, _ = run("info", rdz)
    assert status == 0
    *parts, total = part_bytes(out)
    assert len(parts) == 3
    assert sum(parts) == total == rdz.stat().st_size
    assert f"{rdz.stat().st_size:,} bytes" in " ".join(out.split())
    assert "digits_cnn" in out
    assert "sparsity" not in out
    status, out, _ = run("info", rdz, "--levels")
    assert status == 0
    assert re.search(r"sparsity 0\.\d{4}", out)
    assert re.search(r"^\S+ +[\d×]+ +[\d.]+ +\d+ +[\d.]+%$", out, re.MULTILINE)


def part_bytes(out: str) -> list[int]:
    """The bytes column of the table of parts, the file's own last."""
    rows = out[out.index("part ") :].split("\n")
    last = next(index for index, row in enumerate(rows) if row.startswith("file "))
    found = [re.search(r"([\d,]+) +[\d.]+%$", row.rstrip()) for row in rows[: last + 1]]
    return [int(match[1].replace(",", "")) for match in found if match]


def test_a_layered_file_is_cut_at_the_finest_layer_that_fits(run: Run, rdz: Path, tmp_path: Path) -> None:
    layered, cut = tmp_path / "layered.rdz", tmp_path / "cut.rdz"
    layered.write_bytes(relayered(rdz))
    ends = prefix_ends(layered.read_bytes())
    status, out, _ = run("truncate", layered, "--max-bytes", ends[2] - 1, "-o", cut)
    assert status == 0
    assert f"{ends[1]:,} bytes, 2 of 4 quality layers" in out
    assert cut.read_bytes() == layered.read_bytes()[: ends[1]]
    status, out, _ = run("info", cut)
    assert status == 0
    assert "quality layers: 2 of 4" in out
    *parts, total = part_bytes(out)
    assert sum(parts) == total == ends[1]
    for number, (start, end) in enumerate(zip([0, *ends], ends[:2], strict=False), start=1):
        assert re.search(rf"^{number} +{end - start:,} +{end:,} +[\d.]+%", out, re.MULTILINE)
    status, _, err = run("truncate", layered, "--max-bytes", ends[0] - 1, "-o", tmp_path / "none.rdz")
    assert status == 2
    assert f"first quality layer alone takes {ends[0]:,}" in err
    assert not (tmp_path / "none.rdz").exists()


def relayered(rdz: Path) -> bytes:
    """The network of a file, packed once more in four layers."""
    network = rdsearch.load(rdz, into=build_network("digits_cnn"))
    settings = QuantizationRecipe(step=0.1, quality_layers=4)
    return pack(network, lambda: build_network("digits_cnn"), settings, [], network_id="digits_cnn")


def test_truncate_refuses_a_size_that_no_layer_fits(run: Run, rdz: Path, tmp_path: Path) -> None:
    status, _, err = run("truncate", rdz, "--max-bytes", "100", "-o", tmp_path / "small.rdz")
    assert status == 2
    assert "single quality layer" in err
    assert not (tmp_path / "small.rdz").exists()
    status, _, _ = run("truncate", rdz, "--max-bytes", "1M", "-o", tmp_path / "whole.rdz")
    assert status == 0
    assert (tmp_path / "whole.rdz").read_bytes() == rdz.read_bytes()


def test_validate_shows_all_mistakes_at_once(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        """
task: {network: lenet30, dataset: mnist}
recipe:
  prunning: {}
  pruning: {method: globl, rate: {float: [0.1, 1.5]}, rounds: many}
search: {trials: 0, sampler: tpe}
resources: {cpu: 4096}
"""
    )
    status, out, err = run("validate", path)
    assert status == 2
    assert out == ""
    for wanted in (
        "7 mistakes",
        "task.network",
        "'lenet30'",
        "Did you mean 'lenet300'?",
        "recipe.prunning: unknown key",
        "Did you mean 'pruning'?",
        "recipe.pruning.method",
        "Did you mean 'global'?",
        "recipe.pruning.rate",
        "1.5 must be less than 1",
        "recipe.pruning.rounds",
        "'many' must be a whole number",
        "search.trials: 0 must be at least 1",
        "resources.cpu",
    ):
        assert wanted in err, err
    assert "Traceback" not in err
    assert "pydantic" not in err


def test_spaces_begins_with_the_demo_and_copies_a_file_to_be_changed(run: Run, tmp_path: Path) -> None:
    status, out, _ = run("spaces")
    assert (status, out.split()[0]) == (0, "digits")
    target = tmp_path / "mine.yaml"
    status, out, _ = run("spaces", "digits", "-o", target)
    assert status == 0
    assert out == f"{target}: change it, then `rdsearch search {target}`\n"
    assert run("spaces", "digits")[1] == target.read_text()
    target.write_text("changed")
    status, _, err = run("spaces", "digits", "-o", target)
    assert status == 2
    assert "it is there already" in err
    assert target.read_text() == "changed"


def test_spaces_lists_ready_files_that_validate(run: Run) -> None:
    status, out, _ = run("spaces")
    assert status == 0
    for name in ("digits", "mnist_lenet300", "mnist_lenet5"):
        assert name in out
        assert run("validate", name, "--file-only")[0] == 0


def test_validate_looks_at_the_task_and_says_what_can_be_pruned(run: Run, task_file: Path, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(yaml.safe_dump({"task": yaml.safe_load(task_file.read_text()), "search": {"trials": 3}}))
    status, out, err = run("validate", space)
    assert (status, err) == (0, "")
    assert "1,137 training and 300 validation examples, a test split" in out
    assert "31,504 of 31,770 parameters can be pruned, in 5 layers: conv1.conv.weight 144, " in out
    assert "dense network: validation accuracy 0.9" in out
    assert "training" not in run("validate", space, "--file-only")[1]


def test_validate_shows_what_is_wrong_with_a_task(run: Run, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (300, 1, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "own.npz", x_train=images, y_train=np.arange(300) % 10, x_test=images, y_test=np.arange(300))
    space = tmp_path / "space.yaml"
    space.write_text(yaml.safe_dump({"task": {"network": "digits_cnn", "dataset": str(tmp_path / "own.npz")}}))
    status, out, err = run("validate", space)
    assert status == 2
    assert "not trained yet" in out
    assert "is fine" not in out
    assert "only 30 validation examples" in err
    assert "270 of 300 test examples compared are in the train split too" in err
    assert "Traceback" not in err


def test_validate_downloads_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RDSEARCH_DATA", raising=False)
    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", pytest.fail)
    status, out, _ = run("validate", "mnist_lenet300", "--set", f"task.root={tmp_path}")
    assert status == 0
    assert "The task was not looked at: MNIST is not in" in out


def test_train_warns_of_a_network_that_is_far_from_what_it_should_be(run: Run, tmp_path: Path) -> None:
    task = {"network": "digits_cnn", "dataset": "digits", "train": {"epochs": 0}}
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(task))
    status, out, _ = run("train", tmp_path / "task.yaml")
    assert status == 0
    assert "Warning: the dense network's validation accuracy is 0." in out


def test_search_wants_an_empty_folder_and_leaves_others_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    status, _, err = run("search", "digits", "--out", tmp_path)
    assert status == 2
    assert "not empty" in err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_files_that_others_put_beside_the_fronts_stay(run: Run, search_copy: Path) -> None:
    front = search_copy / "front"
    (front / "notes").mkdir()
    (front / "notes" / "mine.txt").write_text("precious")
    (front / "trial9999_round001.rdz").write_bytes(b"a point that has left the front")
    run("report", search_copy)
    assert (front / "notes" / "mine.txt").exists()
    assert not (front / "trial9999_round001.rdz").exists()


def test_wrong_limits_are_met_before_anything_is_made(run: Run, tmp_path: Path) -> None:
    status, _, err = run("search", "digits", "--out", tmp_path / "new", "--time", "0")
    assert status == 2
    assert "0" in err
    assert not (tmp_path / "new").exists()


def test_compress_finds_a_missing_folder_before_it_computes(run: Run, task_file: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("recipe: {pruning: {rounds: 1}}")
    status, out, err = run("compress", task_file, recipe, "-o", tmp_path / "nowhere" / "x.rdz")
    assert status == 2
    assert "nowhere" in err
    assert out == ""


def test_compress_prints_what_is_done_otherwise_as_lines(run: Run, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    images[30:] = images[:30]  # some fall on either side of the cut
    np.savez(tmp_path / "twice.npz", x_train=images, y_train=np.arange(60) % 10)
    task = {"network": "digits_cnn", "dataset": str(tmp_path / "twice.npz"), "train": {"epochs": 0}}
    (tmp_path / "task.yaml").write_text(yaml.safe_dump({"task": task}))
    (tmp_path / "recipe.yaml").write_text("recipe: {pruning: null, retrain: null}")
    status, out, err = run("compress", tmp_path / "task.yaml", tmp_path / "recipe.yaml", "-o", tmp_path / "x.rdz")
    assert status == 0
    assert re.search(r"^Note: \d+ training images are copies of some in the validation part", out, re.M)
    assert "UserWarning" not in err


def test_search_refuses_a_folder_that_holds_one(run: Run, finished: Path) -> None:
    status, _, err = run("search", "digits", "--out", finished)
    assert status == 2
    assert "rdsearch resume" in err


def test_a_search_all_of_whose_trials_failed_ends_with_1_and_the_commonest_reason(run: Run, search_copy: Path) -> None:
    for number, outcome in enumerate(sorted(search_copy.glob("trials/*/outcome.json"))):
        for stored in outcome.parent.glob("round_*"):
            shutil.rmtree(stored)
        said = "OSError: disk full" if number == 0 else "ValueError: no cat among the pictures (mine.py:7)"
        outcome.write_text(json.dumps({"state": "failed", "message": said}))
    status, out, err = run("resume", search_copy)
    assert status == 1
    assert "Error: all 6 trials failed, 5 of them with: ValueError: no cat among the pictures (mine.py:7)\n" in err
    assert "Traceback" not in out + err
    assert "Trial 0 failed: OSError: disk full" in out
    assert "rdsearch ship" not in out


def test_published_search_is_read_and_tested_but_not_gone_on_with(run: Run, search_copy: Path) -> None:
    run("report", search_copy)
    _, before, _ = run("front", search_copy, "--format", "json")
    shutil.rmtree(search_copy / "trials")
    (search_copy / "study.journal").unlink()
    assert run("front", search_copy, "--format", "json")[1] == before
    files = {path: path.read_bytes() for path in search_copy.rglob("*") if path.is_file()}
    status, _, err = run("resume", search_copy)
    assert status == 2
    assert "published search" in err
    assert {path: path.read_bytes() for path in search_copy.rglob("*") if path.is_file()} == files
    run("test", search_copy)
    _, after, _ = run("front", search_copy, "--format", "json")
    assert all(point["test_accuracy"] is not None for point in json.loads(after)["points"])


@pytest.mark.parametrize("command", ["front", "test", "report", "resume"])
def test_folder_without_a_search_is_a_clear_error(run: Run, tmp_path: Path, command: str) -> None:
    status, _, err = run(command, tmp_path)
    assert status == 2
    assert "holds no search" in err


def test_unknown_space_lists_the_ready_ones(run: Run) -> None:
    status, _, err = run("search", "digit")
    assert status == 2
    assert "Did you mean 'digits'?" in err


@pytest.mark.parametrize("command", ["info", "decode", "truncate"])
def test_file_that_is_no_network_is_a_clear_error(run: Run, tmp_path: Path, command: str) -> None:
    path = tmp_path / "picture.rdz"
    path.write_bytes(b"\x89PNG\r\n")
    options = {"decode": ("-o", tmp_path / "o"), "truncate": ("--max-bytes", "1k", "-o", tmp_path / "o"), "info": ()}
    status, _, err = run(command, path, *options[command])
    assert status == 2
    assert "not a .rdz file" in err
