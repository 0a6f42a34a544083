from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# Ray reads it when it is imported; by default a local Ray makes a token file in the user's home.
os.environ["RAY_AUTH_MODE"] = "disabled"

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.commands import Run
from tests.searches import SPACE

if TYPE_CHECKING:
    from rdsearch.tasks.task import Task

# The first example of a test pays for imports and compilation, and all of them for what else the machine does.
settings.register_profile("rdsearch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rdsearch")


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Baselines trained by tests go to a folder of their own, and never come from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RDSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Bytes repeat only with the same number of threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits_task(_cache_of_the_session: None) -> Task:
    """digits_cnn on digits, its baseline trained for a few epochs."""
    from rdsearch.tasks.loading import load_task
    from rdsearch.tasks.settings import TaskConfig, TrainingConfig

    task = load_task(
        TaskConfig(network="digits_cnn", dataset="digits", validation=300, train=TrainingConfig(epochs=4, lr=3e-3))
    )
    task.dense_state()
    return task


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, _cache_of_the_session: None) -> Path:
    """The folder of a finished search of six trials on digits."""
    from rich.console import Console

    import rdsearch

    folder = tmp_path_factory.mktemp("searches") / "finished"
    rdsearch.search(SPACE, out=folder, console=Console(quiet=True))
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process; status, standard output, standard error."""

    from rdsearch import cli

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["rdsearch", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "100")
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capsys.readouterr()
        return int(exit_.value.code or 0), captured.out, captured.err

    return command


@pytest.fixture
def search_copy(finished: Path, tmp_path: Path) -> Path:
    """A finished search that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "search"))
