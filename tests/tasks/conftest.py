from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
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


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address under which a web server on this machine offers its files."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()
