from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rdsearch.errors import TaskError
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.splits import ArraySplit
from rdsearch.tasks.training.baseline import baseline_state
from tests.tasks.helpers import blobs, seeded_network, small_network

QUICK = TrainingConfig(epochs=1, lr=0.02, batch_size=32)


def kept(cache: Path) -> list[Path]:
    return sorted((cache / "baselines").glob("*"))


def test_the_file_is_named_by_network_and_fingerprint(cache: Path, split: ArraySplit) -> None:
    baseline_state("my/net:x", small_network, split, QUICK)
    (file,) = kept(cache)
    assert file.name.startswith("my-net-x-")
    assert file.suffix == ".safetensors"


def test_another_training_seed_data_or_start_is_another_baseline(cache: Path, split: ArraySplit) -> None:
    baseline_state("net", small_network, split, QUICK)
    baseline_state("net", small_network, split, QUICK)
    assert len(kept(cache)) == 1
    baseline_state("net", small_network, split, TrainingConfig(epochs=1, lr=0.01))
    baseline_state("net", small_network, split, QUICK, seed=1)
    baseline_state("net", small_network, ArraySplit(*blobs(seed=5)), QUICK)
    baseline_state("net", lambda: seeded_network(8), split, QUICK)
    assert len(kept(cache)) == 5


def test_a_damaged_file_is_trained_again(cache: Path, split: ArraySplit) -> None:
    first = baseline_state("net", small_network, split, QUICK)
    (file,) = kept(cache)
    file.write_bytes(file.read_bytes()[:100])
    again = baseline_state("net", small_network, split, QUICK)
    np.testing.assert_array_equal(first["0.weight"], again["0.weight"])
    assert file.stat().st_size > 1000


def test_no_epochs_take_the_weights_that_the_network_comes_with(cache: Path, split: ArraySplit) -> None:
    state = baseline_state("net", lambda: seeded_network(3), split, TrainingConfig(epochs=0))
    np.testing.assert_array_equal(state["0.weight"], seeded_network(3).get_parameter("0.weight").detach().numpy())
    assert not kept(cache)


def test_training_repeats_whatever_the_global_seed(split: ArraySplit, cache: Path) -> None:
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(baseline_state("net", small_network, split, QUICK))
        kept(cache)[0].unlink()
    np.testing.assert_array_equal(states[0]["0.weight"], states[1]["0.weight"])


def test_a_cache_that_cannot_be_written_is_met_before_the_training(
    split: ArraySplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("RDSEARCH_CACHE", str(tmp_path / "file"))
    epochs: list[object] = []
    with pytest.raises(TaskError, match=r"the cache folder .* cannot be written .*: name another .* RDSEARCH_CACHE"):
        baseline_state("net", small_network, split, QUICK, progress=epochs.append)
    assert epochs == []
