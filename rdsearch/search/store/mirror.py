"""The copy on this machine of a search that lies in an object store.

All that counts is in the store. The copy lets the commands that read a search, and the driver's own files, work on
paths as they do everywhere: what is written here is uploaded at once, and rounds are fetched when they are needed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from rdsearch.base.files import write_atomically
from rdsearch.config.yamlfile import parse_yaml
from rdsearch.errors import SearchError
from rdsearch.search.store.news import FIGURES, unbundled
from rdsearch.search.store.objectstore import ObjectStore
from rdsearch.tasks.folders import cache_folder

TRIALS = "trials"
CONFIG = "config.yaml"
_SETTINGS = (".json", ".yaml")
_FIGURES = ("point.json", "outcome.json", "errors.log")
DENSE = "dense.safetensors"
_NO_RESULTS = ("study.journal", ".lock", DENSE)
"""What is not uploaded with the results: it stays here, or was uploaded when it was made."""


class Mirror:
    """The copy of one search.

    Args:
        place: Where the search lies.
    """

    def __init__(self, place: ObjectStore) -> None:
        self.place = place
        address = place.where("")
        name = f"{PurePosixPath(address).name}-{hashlib.sha256(address.encode()).hexdigest()[:12]}"
        self.path = cache_folder() / "searches" / name

    def clear(self) -> None:
        """Forget what an earlier search at the same address has left here."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)

    def pull(self) -> None:
        """Fetch the settings, and the figures of all rounds and trials that are not here yet.

        Raises:
            SearchError: The store cannot be read.
        """
        try:
            # An object may be called ../../x, which here would be outside of the copy.
            names = [name for name in self.place.tree() if ".." not in name.split("/")]
            settings = [name for name in names if "/" not in name and name.endswith(_SETTINGS)]
            content = dict(zip(settings, self.place.each(self.place.read, settings), strict=True))
            if not self._is_of(content):
                self.clear()
            figures = [name for name in names if name.startswith(f"{TRIALS}/") and name.endswith(_FIGURES)]
            missing = {name for name in figures if not _has_content(f"{self.path}/{name}")}
            content |= self._bundled(names, missing)
            single = sorted(missing - content.keys())
            content |= zip(single, self.place.each(self.place.read, single), strict=True)
        except OSError as error:
            raise SearchError(f"{self.place.where('')} cannot be read: {error}") from error
        self._write_all(content)

    def fetch(self, path: Path) -> None:
        """See that a file of the search is here."""
        if not path.exists():
            name = path.relative_to(self.path).as_posix()
            try:
                self._write(name, self.place.read(name))
            except OSError as error:
                raise SearchError(f"{self.place.where(name)} cannot be read: {error}") from error

    def push(self, path: Path) -> None:
        """Upload a file of the search."""
        name = path.relative_to(self.path).as_posix()
        try:
            self.place.write(name, path.read_bytes())
        except OSError as error:
            raise SearchError(f"{self.place.where(name)} cannot be written: {error}") from error

    def push_results(self, folder: Path) -> None:
        """Upload the tables, pictures and pages, and what is in ``folder``; what has left it goes from the store."""
        files = [path for path in self.path.iterdir() if path.is_file() and path.name not in _NO_RESULTS]
        members = list(folder.iterdir()) if folder.is_dir() else []
        self.place.each(self.push, [*files, *members])
        kept = {path.name for path in members}
        gone = [name for name in self.place.names(folder.name) if name not in kept]
        self.place.each(lambda name: self.place.remove(f"{folder.name}/{name}"), gone)

    def _bundled(self, names: list[str], missing: set[str]) -> dict[str, bytes]:
        """Those of the missing figures that are in bundles which were not looked at before, and these bundles."""
        bundles = [name for name in names if name.startswith(f"{TRIALS}/{FIGURES}/")]
        new = [name for name in bundles if missing and not (self.path / name).exists()]
        found: dict[str, bytes] = {}
        for name, data in zip(new, self.place.each(self.place.read, new), strict=True):
            found |= {f"{TRIALS}/{file}": content for file, content in unbundled(data).items()}
            # Of what is in it nothing is read twice.
            found[name] = b""
        return {name: content for name, content in found.items() if name in missing or name in new}

    def _is_of(self, content: dict[str, bytes]) -> bool:
        """Whether the copy is of this very search, and not of one that was at the same address before."""
        here = self.path / CONFIG
        return here.exists() and _identity(here.read_bytes()) == _identity(content.get(CONFIG, b""))

    def _write(self, name: str, data: bytes) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)

    def _write_all(self, content: Mapping[str, bytes]) -> None:
        """Write many files: figures of rounds at once, of which what a crash leaves empty is fetched again."""
        folders: set[str] = set()
        for name, data in content.items():
            if not name.startswith(f"{TRIALS}/"):
                here = self.path / name
                # Who watches the copy sees by the times of its files what is new.
                if not here.exists() or here.read_bytes() != data:
                    self._write(name, data)
                continue
            path = f"{self.path}/{name}"
            folder = os.path.dirname(path)  # noqa: PTH120 - a path object takes as long as the file
            if folder not in folders:
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103
                folders.add(folder)
            _write_small(path, data)


def _identity(config: bytes) -> object:
    return parse_yaml(config.decode(), CONFIG).get("id") if config else None


def _has_content(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return False


def _write_small(path: str, data: bytes) -> None:
    """Write a file in one call: it is empty, or whole, whenever this process is killed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        if os.write(descriptor, data) != len(data):
            os.ftruncate(descriptor, 0)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    finally:
        os.close(descriptor)
