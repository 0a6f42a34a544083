"""A driver in a process of its own, and the folder of its search."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from rdsearch.search.store.folder import SearchFolder
from rdsearch.search.store.journal import mend

ROOT = Path(__file__).parents[2]
SECONDS = 0.3
"""Of a round; a trial has three."""
PATIENCE = 400
"""Seconds to wait for what takes a few: Ray runs workers with low priority, so other work holds them up."""


@dataclass(frozen=True)
class Search:
    """A search's folder, and the folder of its faults."""

    folder: Path
    faults: Path

    @contextmanager
    def driver(
        self, trials: int, environment: Mapping[str, str] = MappingProxyType({}), **options: object
    ) -> Iterator[subprocess.Popen[bytes]]:
        log = self.faults / "log"
        command = [
            sys.executable,
            str(ROOT / "tests/search/drive.py"),
            *map(str, (self.folder, self.faults, SECONDS, trials)),
        ]
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                **options,  # type: ignore[call-overload]
            )
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()

    @property
    def log(self) -> str:
        return (self.faults / "log").read_text()

    def rounds(self) -> dict[str, bytes]:
        """Every published file, whole."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.glob("trials/*/round_*/*"))
            if path.name in ("point.json", "network.rdz")
        }

    def wait_for_rounds(self, count: int, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE
        while len(list(self.folder.glob("trials/*/round_*"))) < count:
            assert process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def wait_for_lock(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE
        held = f"process {process.pid} "
        while not (self.folder / ".lock").exists() or held not in (self.folder / ".lock").read_text():
            assert process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def states(self) -> list[TrialState]:
        journal = SearchFolder(self.folder).journal
        if not journal.exists():
            return []
        mend(journal)
        storage = JournalStorage(JournalFileBackend(str(journal)))
        if not storage.get_all_studies():
            return []
        study = optuna.load_study(study_name=None, storage=storage)
        return [trial.state for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]


def session_folders(process: subprocess.Popen[bytes]) -> list[Path]:
    return list(Path("/tmp").glob(f"rdsearch-ray-{process.pid}-*"))  # noqa: S108
