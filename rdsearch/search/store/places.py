"""Where a search keeps its rounds: the few things that it asks of a folder or an object store; and folders."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rdsearch.base.files import write_atomically

T = TypeVar("T")
R = TypeVar("R")


class Place(ABC):
    """Files under one root, by names with ``/`` between their parts; it can travel to a worker."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A file's content.

        Raises:
            FileNotFoundError: There is none.
        """

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Write a file whole, or leave what was there; folders come into being with it."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    @abstractmethod
    def names(self, folder: str) -> list[str]:
        """Names of the files and folders in a folder, in no order; none where there is no such folder."""

    @abstractmethod
    def tree(self, folder: str = "") -> list[str]:
        """Names of all files below a folder, however deep, in order."""

    @abstractmethod
    def published(self, folder: str, marker: str) -> list[str]:
        """The folders in a folder that `publish` has made, by their whole names, in no order."""

    @abstractmethod
    def publish(self, folder: str, parts: Mapping[str, bytes], marker: str) -> bool:
        """Write a folder of files such that a reader finds ``marker`` only once all of them are there.

        A folder that has its marker already stays as it is.

        Returns:
            Whether these are the parts that are there now.
        """

    @abstractmethod
    def withdraw(self, folder: str, marker: str) -> None:
        """Take back a folder that `publish` has made."""

    @abstractmethod
    def sweep(self, folder: str) -> None:
        """Remove from a folder what writers that were killed have left half done."""

    @abstractmethod
    def part_name(self, name: str) -> str:
        """What to call a part of a folder that two workers may be publishing at once."""

    @abstractmethod
    def path(self, name: str) -> Path | None:
        """Where a file lies on this machine, or would; ``None`` in an object store."""

    @abstractmethod
    def where(self, name: str) -> str:
        """A file's whole name, for messages."""

    @abstractmethod
    def each(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """``function`` of every item, in their order; many at once where the way is long."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether there is a file."""


@dataclass(frozen=True)
class Folder(Place):
    """A folder of this machine, or one that several share.

    Attributes:
        root: Absolute, since trials run in other working directories.
    """

    root: Path

    def read(self, name: str) -> bytes:
        """A file's content; a symbolic link is none."""
        return read_without_links(f"{self.root}/{name}")

    def write(self, name: str, data: bytes) -> None:
        """Write a file by way of a temporary one."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self.root / name).unlink(missing_ok=True)

    def names(self, folder: str) -> list[str]:
        """What is in a folder, without the drafts of `publish`."""
        try:
            return [name for name in os.listdir(f"{self.root}/{folder}") if not name.startswith(".")]  # noqa: PTH208
        except FileNotFoundError:
            return []

    def tree(self, folder: str = "") -> list[str]:
        """Names of all files below a folder, in order."""
        found = (self.root / folder).rglob("*")
        return sorted(path.relative_to(self.root).as_posix() for path in found if path.is_file())

    def exists(self, name: str) -> bool:
        """Whether there is a file."""
        return (self.root / name).exists()

    def published(self, folder: str, marker: str) -> list[str]:
        """Every folder: `publish` renames them into their place, so one that lacks its marker is damaged."""
        try:
            with os.scandir(f"{self.root}/{folder}") as found:
                return [f"{folder}/{entry.name}" for entry in found if entry.is_dir() and entry.name[0] != "."]
        except FileNotFoundError:
            return []

    def publish(self, folder: str, parts: Mapping[str, bytes], marker: str) -> bool:
        """Write the files into a folder with a temporary name, flush it to disk, and rename it."""
        final = self.root / folder
        draft = final.with_name(f".{final.name}.{uuid.uuid4().hex}")
        try:
            draft.mkdir(parents=True)
            for name, data in parts.items():
                _write(draft / name, data)
            _flush_folder(draft)
            renamed = _rename(draft, final, marker)
            _flush_folder(final.parent)
            return renamed
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def withdraw(self, folder: str, marker: str) -> None:
        """Rename it to a draft, and remove that."""
        final = self.root / folder
        draft = final.with_name(f".{final.name}.{uuid.uuid4().hex}")
        final.rename(draft)
        shutil.rmtree(draft, ignore_errors=True)

    def sweep(self, folder: str) -> None:
        """Remove what has a temporary name; a writer that is still at it, of a driver that is gone, then fails."""
        with contextlib.suppress(OSError):
            for path in (self.root / folder).iterdir():
                if path.name.startswith("."):
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)

    def part_name(self, name: str) -> str:
        """The name itself: a rename lets one of two workers win with all that it wrote."""
        return name

    def path(self, name: str) -> Path:
        """Where a file lies."""
        return self.root / name

    def where(self, name: str) -> str:
        """The file's path."""
        return str(self.root / name)

    def each(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """One after the other."""
        return [function(item) for item in items]


def read_without_links(path: Path | str) -> bytes:
    """A file's content; where it is a symbolic link, somebody else may have said which file is read, so none is."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link, which is not followed", str(path)) from None
        raise
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _rename(draft: Path, final: Path, marker: str) -> bool:
    """Whether it was done: a folder that is there already stays."""
    try:
        draft.rename(final)
        return True
    except OSError:
        # A rename onto a folder that has content fails with different codes on different file systems.
        if not (final / marker).exists():
            raise
        return False


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
