from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.search.driven import Search
from tests.search.s3 import KEYS, new_prefix, s3_server


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of an empty prefix on the server that the environment names."""
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": s3_endpoint}.items():
        monkeypatch.setenv(name, value)
    return new_prefix()


@pytest.fixture
def search(tmp_path: Path) -> Search:
    faults = tmp_path / "faults"
    faults.mkdir()
    return Search(tmp_path / "search", faults)
