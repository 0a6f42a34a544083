"""One driver at a time on an object store, which knows no locks: whoever drives says again and again that it lives."""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from rdsearch.errors import SearchError
from rdsearch.search.store.places import Place

LEASE = ".lock"
BEAT_SECONDS = 10.0
"""Time between two signs of life."""
PATIENCE = 2.5
"""Beats without a sign of life after which a driver counts as dead."""
_STALE = 1.5
"""Beats after which a lease that was not looked at is looked at before it is relied on."""
_SETTLE_SECONDS = 1.0
"""Two drivers that begin within this time see each other."""


class Lease:
    """The right to drive the search in a place.

    Nobody's clock is trusted: a lease is alive if it changes while one looks at it. One whose process is known
    to be dead, since it was of this machine, need not be looked at for long.

    Args:
        place: The search's place.
        address: How messages call it.
    """

    def __init__(self, place: Place, address: str) -> None:
        self._place = place
        self._address = address
        self._token = uuid.uuid4().hex
        self._beats = 0
        self._lost = ""
        self._seen = math.inf  # before it is held nobody can take it over

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lease, and let it go at the end.

        Raises:
            SearchError: Another driver holds it.
        """
        found = self._read()
        if found and not _is_dead_here(found) and self._changes(found):
            raise self._in_use(found)
        self._write()
        time.sleep(_SETTLE_SECONDS)
        if (now := self._read()).get("token") != self._token:
            raise self._in_use(now)
        self._seen = _clock()
        done = threading.Event()
        thread = threading.Thread(target=self._beat, args=(done,), daemon=True, name="lease")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            if not self._lost:
                self._place.remove(LEASE)

    def check(self) -> None:
        """See that the lease is still held.

        Raises:
            SearchError: Another driver has taken it, after this one could not be heard of for a while.
        """
        if not self._lost and _clock() - self._seen > _STALE * BEAT_SECONDS:
            # The beat was held up, as by a machine that slept; who drives now is looked up before anything is written.
            self._look()
        if self._lost:
            raise SearchError(f"{self._address} was taken over by {self._lost}; this driver stops here")

    def _beat(self, done: threading.Event) -> None:
        while not done.wait(BEAT_SECONDS):
            # A beat that does not get through is made up for by the next.
            with contextlib.suppress(OSError):
                self._look()
                if self._lost:
                    return
                self._write()

    def _look(self) -> None:
        found = self._read()
        if found.get("token") != self._token:
            self._lost = str(found.get("owner", "another driver"))
        else:
            self._seen = _clock()

    def _changes(self, found: dict[str, Any]) -> bool:
        deadline = time.monotonic() + PATIENCE * BEAT_SECONDS
        while time.monotonic() < deadline:
            time.sleep(min(1.0, BEAT_SECONDS / 4))
            now = self._read()
            if now != found:
                return bool(now)
        return False

    def _read(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self._place.read(LEASE))
        except (FileNotFoundError, ValueError):
            return {}
        return content

    def _write(self) -> None:
        self._beats += 1
        host, process = os.uname().nodename, os.getpid()
        content = {
            "owner": f"process {process} on {host}",
            "host": host,
            "process": process,
            "token": self._token,
            "beat": self._beats,
        }
        self._place.write(LEASE, json.dumps(content).encode())

    def _in_use(self, found: dict[str, Any]) -> SearchError:
        owner = found.get("owner", "another process")
        return SearchError(
            f"{self._address} is in use by {owner}: wait for it to end, or stop it, before going on here"
        )


def _clock() -> float:
    """Seconds, those in which the machine slept among them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _is_dead_here(found: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that is gone."""
    if found.get("host") != os.uname().nodename:
        return False
    try:
        os.kill(int(found["process"]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, KeyError, ValueError):
        return False
    return False
