from __future__ import annotations

import os
from pathlib import Path

import pytest

from rdsearch.tasks.splits import ArraySplit
from tests.tasks.helpers import blobs


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or leaves anything in the user's cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RDSEARCH_CACHE", str(folder))
    return folder


def _data_folder(wanted: str) -> Path:
    root = os.environ.get("RDSEARCH_DATA")
    if not root or not (Path(root) / wanted).exists():
        pytest.skip(f"needs {wanted} in RDSEARCH_DATA")
    return Path(root)


@pytest.fixture
def real_mnist() -> Path:
    return _data_folder("MNIST/raw/train-images-idx3-ubyte")


@pytest.fixture
def real_cifar_parquet() -> Path:
    return _data_folder("cifar10-jpeg/test.parquet") / "cifar10-jpeg"


@pytest.fixture
def real_resnet20() -> Path:
    return _data_folder("checkpoints/resnet20-12fca82f.th") / "checkpoints" / "resnet20-12fca82f.th"


@pytest.fixture
def split() -> ArraySplit:
    return ArraySplit(*blobs())
