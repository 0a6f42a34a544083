"""A search's folder: what lies where."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdsearch.base.files import write_atomically
from rdsearch.config.searchfile import SearchFile, check_search, take_name
from rdsearch.config.yamlfile import read_yaml, write_yaml
from rdsearch.errors import SearchError
from rdsearch.search.store.database import DatabaseStudy
from rdsearch.search.store.lock import FolderLock
from rdsearch.search.store.mirror import CONFIG, DENSE, TRIALS, Mirror
from rdsearch.search.store.objectstore import is_address, object_store
from rdsearch.search.store.places import Folder
from rdsearch.search.store.rounds import RoundStore
from rdsearch.search.store.studies import STUDY_NAME, JournalStudy, ShippedJournal, StudyPlace

_DRAFT_SECONDS = 600.0
"""A command that reads the search may be writing a table just now."""
_LOG = "search.log"
_NOT_BEGUN = {CONFIG, "warm_start.json", ".lock", _LOG}
"""All that a search has written before it measures its dense network."""


@dataclass(frozen=True)
class SearchFolder:
    """Paths inside a search's folder.

    Attributes:
        path: The folder, absolute; of a search in an object store, its copy on this machine.
        mirror: What keeps the copy in step with the object store, where there is one.
    """

    path: Path
    mirror: Mirror | None = None

    @classmethod
    def at(cls, location: str | Path) -> SearchFolder:
        """The folder at a path, or the copy of what lies at an address such as ``s3://bucket/prefix``.

        Raises:
            SearchError: The address is of an object store that is not supported.
        """
        if not is_address(location):
            return cls(Path(location).absolute())
        mirror = Mirror(object_store(str(location)))
        return cls(mirror.path, mirror)

    @classmethod
    def create(
        cls, location: str | Path, file: SearchFile, warm_start: Mapping[str, Any] | None = None
    ) -> SearchFolder:
        """Make a new search's folder and write its ``config.yaml``, and what it takes over from an earlier search.

        Raises:
            SearchError: The folder holds a search already, or cannot be made.
        """
        folder = cls.check_free(location)
        try:
            if folder.mirror:
                folder.mirror.clear()
            folder.path.mkdir(parents=True, exist_ok=True)
            if warm_start is not None:
                # First: with a config.yaml the folder is a search, which a crash may end at once.
                folder._write_json(folder.warm_start, warm_start)
            write_yaml(folder.config, {"name": file.name, "id": uuid.uuid4().hex[:12], **file.tree})
        except OSError as error:
            raise SearchError(f"{location} cannot be written: {error.strerror or error}") from None
        folder._upload(folder.config)
        return folder

    @classmethod
    def check_free(cls, location: str | Path) -> SearchFolder:
        """The folder at a location where a new search may begin; nothing is written.

        That is where nothing is, or a search on this machine that no process runs and that has not come to its
        manifest: its dense network was never trained, and what it was to do is not known to anything else.

        Raises:
            SearchError: The folder holds a search already, or something else.
        """
        folder = cls.at(location)
        try:
            place = folder.mirror.place if folder.mirror else Folder(folder.path)
            names = set(place.names(""))
            if place.exists(CONFIG):
                if not folder.mirror and names <= _NOT_BEGUN and folder.identity:
                    with FolderLock(folder.lock).held():
                        return folder
                raise SearchError(
                    f"{location} holds a search already: go on with `rdsearch resume {location}`, or give another --out"
                )
            if names:
                raise SearchError(f"{location} is not empty: a search wants a folder of its own; give another --out")
        except OSError as error:
            raise SearchError(f"{location} cannot be written: {error.strerror or error}") from None
        return folder

    @classmethod
    def open(cls, location: str | Path) -> SearchFolder:
        """An existing search's folder; a copy is brought up to date.

        Raises:
            SearchError: There is no search in it.
        """
        folder = cls.at(location)
        folder.refresh()
        if not folder.config.exists():
            raise SearchError(f"{location} holds no search: it has no config.yaml; give the folder of a search")
        return folder

    @property
    def address(self) -> str:
        """What to call the search, and to give to a command."""
        return self.mirror.place.address if self.mirror else str(self.path)

    @property
    def config(self) -> Path:
        """The search file, with every override applied."""
        return self.path / CONFIG

    @property
    def manifest(self) -> Path:
        """Versions, seeds, hardware, the task's fingerprint, the baseline."""
        return self.path / "manifest.json"

    @property
    def dense(self) -> Path:
        """The dense weights, where they were trained for this search."""
        return self.path / DENSE

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
    def errors(self) -> Path:
        """The traceback of what stopped the driver, where nobody had foreseen it."""
        return self.path / "errors.log"

    @property
    def log(self) -> Path:
        """What was said in every run, the phases and rounds with their times, and what workers wrote."""
        return self.path / _LOG

    def refuse_links(self) -> None:
        """See that what is written into the folder stays in it.

        Raises:
            SearchError: A part of it that is written through is a symbolic link.
        """
        trackers = (self.path / name for name in ("tensorboard", "wandb"))
        for path in (self.front_files, self.trials, self.tune, self.journal, self.errors, self.log, *trackers):
            if path.is_symlink():
                raise SearchError(
                    f"{path} is a symbolic link: what a search writes stays in its folder; put the real thing there, "
                    "or remove it"
                )

    def sweep(self) -> None:
        """Remove what writers that were killed have left half written beside the tables and the front's files."""
        for folder in (self.path, self.front_files):
            for draft in folder.glob(".*.tmp"):
                with contextlib.suppress(OSError):
                    if time.time() - draft.lstat().st_mtime > _DRAFT_SECONDS:
                        draft.unlink()

    @property
    def is_published(self) -> bool:
        """Whether the folder has the tables of a search, but not the rounds that it would go on from."""
        if self.mirror is not None or self.trials.exists() or not self.points.exists():
            return False
        # A run that was interrupted before its first round leaves a table without rows.
        return len(self.points.read_bytes().splitlines()) > 1

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
        return self.path / TRIALS

    @property
    def whole_part(self) -> Path:
        """What the whole validation part said of the front's members, where trials were scored on a subset of it."""
        return self.path / "validation.json"

    @property
    def store(self) -> RoundStore:
        """Where the trials report."""
        return RoundStore(self.mirror.place.below(TRIALS), self.trials) if self.mirror else RoundStore(self.trials)

    @property
    def rounds(self) -> RoundStore:
        """What the trials have reported, as far as it is on this machine: of a copy, when it was opened."""
        return RoundStore(self.trials)

    def study(self, file: SearchFile) -> StudyPlace:
        """Where the study lies."""
        if file.search.storage is not None:
            return DatabaseStudy(file.search.storage, f"{STUDY_NAME}-{file.name}-{self.identity}")
        if self.mirror:
            return ShippedJournal(self.journal, self.mirror.place, self.address, file.name)
        return JournalStudy(self.journal, file.name)

    def refresh(self) -> None:
        """Bring a copy up to date."""
        if self.mirror:
            self.mirror.pull()

    def fetch(self, file: Path | None) -> None:
        """See that a file of the search is on this machine."""
        if self.mirror and file is not None:
            self.mirror.fetch(file)

    def push_results(self) -> None:
        """Bring tables, pictures, pages and the front's files to where the search lies."""
        if self.mirror:
            self.mirror.push_results(self.front_files)

    def _write_json(self, file: Path, content: Mapping[str, Any]) -> None:
        write_atomically(file, json.dumps(content, indent=2))
        self._upload(file)

    def _upload(self, file: Path) -> None:
        if self.mirror:
            self.mirror.push(file)

    @property
    def identity(self) -> str:
        """What no other search has; empty where a folder was made by hand."""
        return str(read_yaml(self.config).get("id", ""))

    def search_file(self) -> SearchFile:
        """The search file that this folder was made from."""
        tree = read_yaml(self.config)
        name = take_name(tree) or self.path.name
        return check_search(tree, source=str(self.config), name=name, own_task=True)

    def write_target(self, trials: int) -> None:
        """Record the number of trials that the search shall have in the end, in place of its file's."""
        tree = read_yaml(self.config)
        tree["search"] = (tree.get("search") or {}) | {"trials": trials}
        write_yaml(self.config, tree)
        self._upload(self.config)

    def read_manifest(self) -> dict[str, Any]:
        """The manifest.

        Raises:
            SearchError: The search never got as far as writing one, or it is damaged.
        """
        missing = f"the search in {self.address} has not begun; begin it with `rdsearch resume {self.address}`"
        manifest = _read_json(self.manifest, missing)
        for part, keys in _NEEDED.items():
            if not isinstance(manifest.get(part), dict) or not all(_is_number(manifest[part].get(key)) for key in keys):
                raise SearchError(f"{self.manifest} is damaged: it has no {part} with {' and '.join(keys)}")
        return manifest

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write the manifest."""
        self._write_json(self.manifest, manifest)

    def write_dense(self, data: bytes) -> str:
        """Keep the dense weights; their SHA-256, for the manifest."""
        write_atomically(self.dense, data)
        self._upload(self.dense)
        return hashlib.sha256(data).hexdigest()

    def read_dense(self, sha256: str) -> bytes | None:
        """The dense weights; ``None`` where the file is missing or damaged."""
        with contextlib.suppress(OSError, SearchError):
            self.fetch(self.dense)
            data = self.dense.read_bytes()
            return data if hashlib.sha256(data).hexdigest() == sha256 else None
        return None

    def read_warm_start(self) -> dict[str, Any]:
        """What was taken over from an earlier search: ``source``, ``proposals``, ``skipped``; empty without one."""
        return _read_json(self.warm_start, "") if self.warm_start.exists() else {}

    def read_tests(self) -> dict[str, float]:
        """Test score of each file that was tested, by the SHA-256 of the file; empty before `rdsearch test`."""
        return _read_scores(self.tests)

    @property
    def quality_layers(self) -> Path:
        """Figures of the coarser quality layers of the front's files, by the checksum of each prefix."""
        return self.path / "quality_layers.json"

    def read_quality_layers(self) -> dict[str, dict[str, Any]]:
        """Figures of each prefix that was scored, by its SHA-256; empty before `rdsearch front --quality-layers`."""
        return _read_json(self.quality_layers, "") if self.quality_layers.exists() else {}

    def write_quality_layers(self, figures: dict[str, dict[str, Any]]) -> None:
        """Record what was found of prefixes."""
        write_atomically(self.quality_layers, json.dumps(figures, indent=2))

    def write_tests(self, scores: dict[str, float]) -> None:
        """Record what the test split said."""
        self._write_json(self.tests, scores)

    def read_whole_part(self) -> dict[str, float]:
        """Scores on the whole validation part by `rdsearch.search.outcome.members.member_key`; empty before the end."""
        return _read_scores(self.whole_part)

    def write_whole_part(self, scores: dict[str, float]) -> None:
        """Record what the whole validation part said."""
        self._write_json(self.whole_part, scores)


_NEEDED = {"baseline": ("val_accuracy", "size_bytes"), "split_sizes": ("train", "validation")}
"""Parts of a manifest without which nothing of a search can be shown."""


def _read_scores(path: Path) -> dict[str, float]:
    scores = _read_json(path, "") if path.exists() else {}
    if not all(map(_is_number, scores.values())):
        raise SearchError(f"{path} is damaged: a score in it is no number; remove it to have them measured again")
    return scores


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _read_json(path: Path, missing: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise SearchError(missing) from None
    except (ValueError, RecursionError) as error:
        raise SearchError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise SearchError(f"{path} is damaged: it holds a {type(content).__name__} where a mapping should be")
    return content
