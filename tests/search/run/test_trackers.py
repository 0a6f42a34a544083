"""Experiment trackers, each read back with its own package."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rdsearch.config.searchfile import SearchConfig, check_search
from rdsearch.errors import ConfigError
from rdsearch.points.point import Scalar
from rdsearch.search.run.trackers import Tracked, not_installed, require_trackers, tracked
from rdsearch.search.store.rounds import Outcome
from tests.search.run.test_progress import point
from tests.searches import SPACE

RECIPE: dict[str, Scalar] = {"pruning.method": "lamp", "pruning.rate": 0.25, "quantization.dead_zone": None}
FIGURES = [(900, 0.8), (500, 0.7)]
# What importing other people's packages warns of is not ours.
pytestmark = [
    pytest.mark.filterwarnings("default::DeprecationWarning"),
    pytest.mark.filterwarnings("default::FutureWarning"),
    pytest.mark.filterwarnings("default::ResourceWarning"),
    pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning"),
]


def search(folder: Path) -> Tracked:
    return Tracked("digits", "0123456789ab", folder)


def told(name: str, folder: Path) -> str:
    """Two trials, the second one interrupted after a round and gone on with in a second run; what was said."""
    console = Console(file=io.StringIO(), width=400)
    rounds = [replace(point(size, accuracy), round=number) for number, (size, accuracy) in enumerate(FIGURES, 1)]
    with tracked([name], search(folder), console) as (first,):
        first.started(7, RECIPE)
        first.started(8, RECIPE)
        for one in rounds:
            first.stored(replace(one, trial=7))
        first.stored(replace(rounds[0], trial=8))
        first.ended(7, Outcome("complete"))
    with tracked([name], search(folder), console) as (second,):
        second.started(8, RECIPE)
        second.started(8, RECIPE)  # its worker was lost
        second.stored(replace(rounds[1], trial=8))
        second.ended(8, Outcome("stopped", "beaten"))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_tensorboard_has_a_folder_a_trial_with_its_rounds_as_steps_and_its_recipe(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert f"tensorboard --logdir {tmp_path}/tensorboard" in told("tensorboard", tmp_path)
    for trial in (7, 8):
        found = events.EventAccumulator(str(tmp_path / f"tensorboard/trial_{trial:05d}"))
        found.Reload()
        assert [(one.step, one.value) for one in found.Scalars("size_bytes")] == [(1, 900.0), (2, 500.0)]
        accuracies = [one.value for one in found.Scalars("val_accuracy")]
        assert accuracies == pytest.approx([0.8, 0.7])
        assert {"sparsity", "accuracy_drop", "seconds"} <= set(found.Tags()["scalars"])
        begun = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        assert b"pruning.method" in begun
        assert b"lamp" in begun


def test_mlflow_has_a_run_a_trial_which_a_resumed_search_goes_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    said = told("mlflow", tmp_path)
    assert "experiment digits at sqlite:///" in said
    assert "Warning" not in said
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("digits").experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert {name: run.info.status for name, run in runs.items()} == {"trial_7": "FINISHED", "trial_8": "FINISHED"}
    for run in runs.values():
        assert run.data.params == {
            "pruning.method": "lamp",
            "pruning.rate": "0.25",
            "quantization.dead_zone": "null",
        }
        history = client.get_metric_history(run.info.run_id, "size_bytes")
        assert sorted((one.step, one.value) for one in history) == [(1, 900.0), (2, 500.0)]
    assert runs["trial_8"].data.tags["rdsearch.outcome"] == "beaten"


def scanned(file: Path) -> Iterator[Any]:
    """The records of a .wandb file: LevelDB's log format, in blocks of 32 KiB, behind 7 bytes of its own."""
    from wandb.proto import wandb_internal_pb2

    data, place, whole = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # all of a record, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def test_wandb_offline_has_a_run_a_trial_with_the_recipe_as_its_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_DIR", raising=False)
    said = told("wandb", tmp_path)
    assert f"group digits of project rdsearch, offline; `wandb sync {tmp_path}/wandb/offline-*` sends them" in said
    assert "Warning" not in said
    steps: dict[str, list[tuple[int, str]]] = {}
    for file in sorted(tmp_path.glob("wandb/offline-*/*.wandb")):
        records = list(scanned(file))
        run = next(record.run for record in records if record.WhichOneof("record_type") == "run")
        assert run.run_group == "digits"
        assert {item.key: item.value_json for item in run.config.update}["pruning.rate"] == "0.25"
        for record in records:
            if record.WhichOneof("record_type") == "history":
                items = {item.key or item.nested_key[0]: item.value_json for item in record.history.item}
                steps.setdefault(run.display_name, []).append((record.history.step.num, items["size_bytes"]))
    for name in ("trial_7", "trial_8"):
        assert [(step, float(size)) for step, size in steps[name]] == [(1, 900.0), (2, 500.0)]


def test_a_tracker_that_fails_says_so_once_and_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file where the folder should be")
    warnings = [line for line in told("tensorboard", tmp_path).splitlines() if line.startswith("Warning")]
    assert len(warnings) == 2  # one in each of two runs
    assert warnings[0].startswith(
        "Warning: the tracker tensorboard fails, and the search goes on without it: NotADirectoryError"
    )


def test_what_is_missing_is_told_before_a_search_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_trackers(["tensorboard"])
    assert not_installed("no_such_package", "mlflow") == (
        "needs the package no_such_package, which is not installed: pip install 'rdsearch[mlflow]'"
    )
    pytest.importorskip("wandb")
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(ConfigError, match=r"wandb has no API key: run `wandb login`, or set WANDB_MODE=offline"):
        require_trackers(["wandb"])


def test_trackers_are_named_in_the_search_file() -> None:
    with_trackers = {**SPACE, "search": {**SPACE["search"], "trackers": ["tensorboard", "wandb"]}}
    assert check_search(with_trackers, source="x", name="x").search.trackers == ("tensorboard", "wandb")
    assert SearchConfig().trackers == ()
    wrong = {**SPACE, "search": {"trackers": ["tensorbord"]}}
    with pytest.raises(ConfigError, match="Did you mean 'tensorboard'"):
        check_search(wrong, source="x", name="x")
