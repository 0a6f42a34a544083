"""The report of a search that may still be running: looked at again, and drawn again when something has changed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rdsearch.errors import RdsearchError
from rdsearch.report.page import render_report
from rdsearch.report.search import summarize
from rdsearch.report.templating import rendered_text
from rdsearch.search.outcome.results import Results, read_results
from rdsearch.search.store.folder import SearchFolder

LOOK_SECONDS = 2.0
"""Between two looks at a folder of this machine."""
REMOTE_SECONDS = 20.0
"""Between two looks at an object store, each of which takes requests."""
_SHARE_OF_TIME = 0.25
"""That may go into drawing at most."""
_LOG_LINES = 12
_LOG_BYTES = 4096


class Watched:
    """A search as it grows. Nothing is written into its folder.

    Args:
        location: The search's folder, or its address in an object store.

    Raises:
        SearchError: There is no search.
    """

    def __init__(self, location: str) -> None:
        self._folder = SearchFolder.open(location)
        self._lock = threading.Lock()
        self._seen: tuple[object, ...] = ()
        self._next_look = 0.0
        self._version = 0
        self._page = b""
        self._files: dict[str, Path] = {}
        self._status = ""

    @property
    def name(self) -> str:
        """What to call the search."""
        return self._folder.address

    def state(self) -> dict[str, Any]:
        """How often what is shown has changed, and how far the search is, in a sentence."""
        with self._lock:
            self._look()
            return {"version": self._version, "status": self._status}

    def page(self) -> bytes:
        """The page as of now."""
        with self._lock:
            self._look()
            return self._page

    def file(self, name: str) -> bytes | None:
        """A file that the page links; ``None`` for any other."""
        with self._lock:
            path = self._files.get(name)
        with contextlib.suppress(OSError):
            return None if path is None else path.read_bytes()
        return None

    def _look(self) -> None:
        if time.monotonic() < self._next_look:
            return
        began = time.monotonic()
        try:
            self._folder.refresh()
            seen = tuple(_state_of(self._folder))
            if seen != self._seen:
                self._version += 1
                self._draw()
                self._seen = seen
        except (RdsearchError, OSError) as error:
            self._version += 1
            self._show_waiting(str(error))
        pause = REMOTE_SECONDS if self._folder.mirror else LOOK_SECONDS
        took = time.monotonic() - began
        self._next_look = time.monotonic() + max(pause, took * (1 - _SHARE_OF_TIME) / _SHARE_OF_TIME)

    def _draw(self) -> None:
        if not self._folder.manifest.exists():
            self._show_waiting("")
            return
        results = read_results(self._folder.address)
        self._status = _status(results)
        self._page = render_report(
            summarize(results), self._folder.path, live=self._version, status=self._status
        ).encode()
        self._files = {
            point.path.relative_to(self._folder.path).as_posix(): point.path
            for point in results.front
            if point.path is not None and point.path.is_relative_to(self._folder.path)
        }

    def _show_waiting(self, error: str) -> None:
        self._status = error or "the dense network is not measured yet"
        self._page = rendered_text(
            "waiting.html.j2",
            name=self.name,
            status=self._status,
            log=_last_lines(self._folder.log),
            live=self._version,
        ).encode()


def _state_of(folder: SearchFolder) -> Iterator[object]:
    """What changes when a round is stored, a trial begins or ends, or a command writes something down."""
    for file in (folder.manifest, folder.tests, folder.whole_part):
        yield _changed(file)
    if not folder.manifest.exists():
        yield _changed(folder.log)
    if folder.trials.is_dir():
        # A folder changes with what is put into it; of a trial that is removed meanwhile there is nothing to see.
        yield sorted((path.name, _changed(path)) for path in folder.trials.iterdir())


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _status(results: Results) -> str:
    ended, target = results.finished + len(results.failed), int(results.manifest.get("target", 0))
    counted = f"{ended} of {target} trials" if target else f"{ended} trials"
    return f"{counted} have ended, {len(results.points):,} operating points"


def _last_lines(log: Path) -> list[str]:
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_BYTES))
        return file.read().decode(errors="replace").splitlines()[-_LOG_LINES:]
    return []
