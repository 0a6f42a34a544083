"""A search's folder: what lies where."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdsearch.config import SearchFile, check_search
from rdsearch.errors import SearchError
from rdsearch.files import write_atomically
from rdsearch.search.store import RoundStore
from rdsearch.yamlfile import read_yaml, write_yaml


@dataclass(frozen=True)
class SearchFolder:
    """Paths inside a search's folder.

    Attributes:
        path: The folder, absolute.
    """

    path: Path

    @classmethod
    def create(cls, path: Path, file: SearchFile) -> SearchFolder:
        """Make a new search's folder and write its ``config.yaml``.

        Raises:
            SearchError: The folder holds a search already, or cannot be made.
        """
        folder = cls(path.absolute())
        if folder.config.exists():
            raise SearchError(
                f"{path} holds a search already: go on with `rdsearch resume {path}`, or give another --out"
            )
        if folder.path.is_dir() and any(folder.path.iterdir()):
            raise SearchError(f"{path} is not empty: a search wants a folder of its own; give another --out")
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
            write_yaml(folder.config, {"name": file.name, **file.tree})
        except OSError as error:
            raise SearchError(f"{path} cannot be written: {error.strerror}") from None
        return folder

    @classmethod
    def open(cls, path: str | Path) -> SearchFolder:
        """An existing search's folder.

        Raises:
            SearchError: There is no search in it.
        """
        folder = cls(Path(path).absolute())
        if not folder.config.exists():
            raise SearchError(f"{path} holds no search: it has no config.yaml; give the folder of a search")
        return folder

    @property
    def config(self) -> Path:
        """The search file, with every override applied."""
        return self.path / "config.yaml"

    @property
    def manifest(self) -> Path:
        """Versions, seeds, hardware, the task's fingerprint, the baseline."""
        return self.path / "manifest.json"

    @property
    def journal(self) -> Path:
        """The Optuna study."""
        return self.path / "study.journal"

    @property
    def warm_start(self) -> Path:
        """What was taken over from an earlier search, if anything was."""
        return self.path / "warm_start.json"

    @property
    def lock(self) -> Path:
        """Held by the process that runs the search."""
        return self.path / ".lock"

    @property
    def tune(self) -> Path:
        """Ray Tune's own files; nothing is read back from them."""
        return self.path / ".tune"

    @property
    def points(self) -> Path:
        """Every operating point."""
        return self.path / "points.csv"

    @property
    def front_csv(self) -> Path:
        """The front's points."""
        return self.path / "front.csv"

    @property
    def front_files(self) -> Path:
        """The front's ``.rdz`` files and recipes."""
        return self.path / "front"

    @property
    def front_png(self) -> Path:
        """The front as a picture."""
        return self.path / "front.png"

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.html"

    @property
    def tests(self) -> Path:
        """What the test split said, by the checksum of each file that was tested."""
        return self.path / "test.json"

    @property
    def trials(self) -> Path:
        """What the trials have reported, one folder each."""
        return self.path / "trials"

    @property
    def whole_part(self) -> Path:
        """What the whole validation part said of the front's members, where trials were scored on a subset of it."""
        return self.path / "validation.json"

    @property
    def store(self) -> RoundStore:
        """What the trials have reported."""
        return RoundStore(self.trials)

    def search_file(self) -> SearchFile:
        """The search file that this folder was made from."""
        tree = read_yaml(self.config)
        name = str(tree.pop("name", self.path.name))
        return check_search(tree, source=str(self.config), name=name, own_task=True)

    def read_manifest(self) -> dict[str, Any]:
        """The manifest.

        Raises:
            SearchError: The search never got as far as writing one, or it is damaged.
        """
        missing = f"the search in {self.path} has not begun; begin it with `rdsearch resume {self.path}`"
        return _read_json(self.manifest, missing)

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write the manifest."""
        write_atomically(self.manifest, json.dumps(manifest, indent=2))

    def read_warm_start(self) -> dict[str, Any]:
        """What was taken over from an earlier search: ``source``, ``proposals``, ``skipped``; empty without one."""
        return _read_json(self.warm_start, "") if self.warm_start.exists() else {}

    def write_warm_start(self, warm_start: dict[str, Any]) -> None:
        """Record what is taken over from an earlier search."""
        write_atomically(self.warm_start, json.dumps(warm_start, indent=2))

    def read_tests(self) -> dict[str, float]:
        """Test score of each file that was tested, by the SHA-256 of the file; empty before `rdsearch test`."""
        return _read_json(self.tests, "") if self.tests.exists() else {}

    @property
    def layers(self) -> Path:
        """Figures of the coarser quality layers of the front's files, by the checksum of each prefix."""
        return self.path / "layers.json"

    def read_layers(self) -> dict[str, dict[str, Any]]:
        """Figures of each prefix that was scored, by its SHA-256; empty before `rdsearch front --layers`."""
        return _read_json(self.layers, "") if self.layers.exists() else {}

    def write_layers(self, figures: dict[str, dict[str, Any]]) -> None:
        """Record what was found of prefixes."""
        write_atomically(self.layers, json.dumps(figures, indent=2))

    def write_tests(self, scores: dict[str, float]) -> None:
        """Record what the test split said."""
        write_atomically(self.tests, json.dumps(scores, indent=2))

    def read_whole_part(self) -> dict[str, float]:
        """Scores on the whole validation part by `rdsearch.search.members.member_key`; empty before the end."""
        return _read_json(self.whole_part, "") if self.whole_part.exists() else {}

    def write_whole_part(self, scores: dict[str, float]) -> None:
        """Record what the whole validation part said."""
        write_atomically(self.whole_part, json.dumps(scores, indent=2))


def _read_json(path: Path, missing: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise SearchError(missing) from None
    except ValueError as error:
        raise SearchError(f"{path} is damaged: {error}") from None
    return content
