"""The first hour of the quick start: own network, init, search, pick, ship, use."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rdsearch.compression.loading import save_state
from rdsearch.config.searchfile import load_search_file
from rdsearch.tasks.task import Task
from tests.commands import Run

PAGE = Path(__file__).parent.parent / "docs" / "quickstart.md"
TRAINED = "recipe.quantization.training"
TINY = {
    "search": "--trials 2 --set resources.concurrent=1 "
    f"--set {TRAINED}.target_bytes=2000 --set {TRAINED}.epochs=10".split()
}
"""What makes a command of the page short."""


def test_the_quick_start_leads_from_an_own_network_to_a_folder_that_runs_alone(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = PAGE.read_text(encoding="utf-8").partition("## The demo")[0]
    module = re.search(r"<!-- file: mine.py -->\n```python\n(.*?)```", page, re.S)
    commands = re.search(r"```bash\n(.*?)```", page, re.S)
    assert module is not None
    assert commands is not None
    (tmp_path / "mine.py").write_text(module[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    *lines, predict = [shlex.split(line, comments=True) for line in commands[1].splitlines()]
    said = {}
    for program, command, *words in lines:
        assert program == "rdsearch"
        status, out, err = run(command, *words, *TINY.get(command, []))
        assert status == 0, err
        said[command] = out
        if command == "init":
            written = load_search_file(tmp_path / "mine.yaml")
            assert written.tree["recipe"]["quantization"]["training"]["target_bytes"]["log"] is True
            assert "for 40 trials here" in out
    assert "shipped: " in said["ship"]
    # Its test split, in numbers from 0 to 1 as the network was trained on.
    images, labels = sys.modules["mine"].data()["test"]()
    np.save("some.npy", images)
    done = subprocess.run([sys.executable, *predict[1:]], capture_output=True, text=True, check=True)
    classes = [int(found) for found in re.findall(r"\]: class (\d+) ", done.stdout)]
    assert np.mean(np.array(classes) == labels) > 0.8


def test_init_writes_over_nothing_and_says_what_is_wrong(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "search.yaml").write_text("mine")
    status, _, err = run("init", "digits_cnn", "digits")
    assert status == 2
    assert "it is there already" in err
    assert (tmp_path / "search.yaml").read_text() == "mine"
    status, _, err = run("init", "digits_cnn", "mnist", "-o", "new.yaml", "--set", "search.trials=3")
    assert status == 2
    assert "sets the task alone" in err
    status, _, err = run("init", "nothing", "digits", "-o", "new.yaml")
    assert status == 2
    assert "nothing" in err
    assert not (tmp_path / "new.yaml").exists()


def test_init_warns_of_validation_data_that_a_checkpoint_may_have_seen(
    run: Run, digits_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_state(digits_task.dense_state(), tmp_path / "weights.safetensors")
    status, out, err = run("init", "digits_cnn", "digits", "--checkpoint", "weights.safetensors", "--max-drop", "1%")
    assert status == 0, err
    assert "if it has seen them" in err
    assert "the dense network is trained already" in out
    text = (tmp_path / "search.yaml").read_text()
    assert "held_out: true" in text
    assert load_search_file(tmp_path / "search.yaml").search.constraints == {"accuracy_drop": 0.01}
