"""Folders that transformers has saved a network in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rdsearch.errors import ConfigError, TaskError
from rdsearch.tasks.loading import load_task
from rdsearch.tasks.networks.pretrained_folder import PretrainedFolder
from rdsearch.tasks.settings import TaskConfig

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vision transformer of 5 000 weights, saved."""
    path = tmp_path_factory.mktemp("saved") / "vit"
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=8, patch_size=4
    )
    config.num_labels = 3
    transformers.ViTForImageClassification(config).save_pretrained(path)
    return path


def test_the_network_has_the_weights_that_were_saved_and_may_have_seen_the_data(folder: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (300, 3, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", x_train=images, y_train=np.arange(300) % 3)
    task = load_task(TaskConfig(network=str(folder), dataset=str(tmp_path / "data.npz")))
    assert task.name == "vit-data"
    assert task.is_trained
    assert task.may_have_seen_validation
    saved = transformers.ViTForImageClassification.from_pretrained(folder).state_dict()
    dense = task.dense_state()
    assert set(dense) == set(saved)
    assert all(torch.equal(torch.from_numpy(dense[name].copy()), saved[name]) for name in saved)
    assert 0 <= task.score(PretrainedFolder(folder)()) <= 1


def test_what_is_no_network_is_said(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(TaskError, match=r"is no network: a folder that save_pretrained has written"):
        PretrainedFolder(tmp_path)()
    (tmp_path / "config.json").write_text('{"architectures": ["os"]}')
    with pytest.raises(TaskError, match="names os, which is no class of transformers"):
        PretrainedFolder(tmp_path)()


def test_a_folder_without_weights_is_said(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(TaskError, match=r"ViTForImageClassification cannot be made of it: .*model\.safetensors"):
        PretrainedFolder(tmp_path)()


def test_a_name_without_a_slash_is_no_folder() -> None:
    with pytest.raises((ConfigError, ValueError), match=r"a folder of transformers as '\./NAME'"):
        TaskConfig(network="vit", dataset="digits")
