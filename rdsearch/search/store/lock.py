"""One driver at a time in a folder: a lock that goes with its process, or a lease where there are no locks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from rdsearch.errors import SearchError
from rdsearch.search.store.lease import Lease
from rdsearch.search.store.places import Folder

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})
"""What file systems say that have no ``flock``: NFS without its lock daemon, some in user space."""


class FolderLock:
    """The right to drive the search in a folder.

    Args:
        path: The lock's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: int | Lease | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock, and let it go at the end.

        Raises:
            SearchError: Another process holds it, or the file is a symbolic link.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError as error:
            reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
            raise SearchError(f"{self._path} cannot be used as a lock: {reason}; remove it to go on") from None
        try:
            if self._locks(descriptor):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"process {os.getpid()} on {os.uname().nodename}".encode(), 0)
                self._held = descriptor
                yield
                return
            lease = self._held = Lease(Folder(self._path.parent), str(self._path.parent))
            with lease.held():
                yield
        finally:
            self._held = None
            os.close(descriptor)

    def check(self) -> None:
        """See that the lock is still held.

        Raises:
            SearchError: Its file was removed or replaced, so that another driver may hold one of the same name.
        """
        if isinstance(self._held, Lease):
            self._held.check()
        elif self._held is not None:
            mine = os.fstat(self._held)
            with contextlib.suppress(FileNotFoundError):
                now = self._path.lstat()
                if (now.st_dev, now.st_ino) == (mine.st_dev, mine.st_ino):
                    return
            raise SearchError(
                f"{self._path} was removed or replaced while this search ran, and another driver may be at work in its "
                "folder: this one stops here"
            )

    def _locks(self, descriptor: int) -> bool:
        """Whether the file system has locks; this one is then held."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            raise SearchError(
                f"{self._path.parent} is in use by {owner}: wait for it to end, or stop it, before going on here"
            ) from None
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return False
            raise SearchError(f"{self._path} cannot be locked: {error.strerror}") from None
        return True
