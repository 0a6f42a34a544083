"""Whether the Ray of a run is still there: its own answer to a loss is to end this process without a word."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from rdsearch.errors import SearchStoppedError

EXIT_STATUS = SearchStoppedError.exit_code
HEAD_PATIENCE_SECONDS = 35.0
"""A head that cannot be reached may come back; after 60 seconds Ray ends every process that is connected to it."""
_CONNECT_SECONDS = 3.0
_PARKING_SECONDS = 5.0
"""Time that the run has to come to a place where nothing is half done; it may be waiting for Ray."""


class RayWatch:
    """Looks at Ray's processes, or at the ways to them, from a thread of its own.

    Ray's node manager (raylet) on this machine, or its head, may be killed, for memory as a rule. Ray's library then
    ends the process that is connected to it, within some ten and sixty seconds, and until then its calls do not come
    back. So the thread says the last words, and ends the process itself.

    Args:
        farewell: Gets the reason; the process ends after it.
    """

    def __init__(self, farewell: Callable[[str], None]) -> None:
        self._farewell = farewell
        self._lost = False
        self._parked, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="ray-watch")

    def __enter__(self) -> RayWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if not self._lost:
            self._thread.join()

    def rest_if_lost(self) -> None:
        """Wait for the end where Ray is gone: nothing is half done here."""
        if self._lost:
            self._parked.set()
            self._thread.join()

    def _watch(self) -> None:
        reason = self._look()
        if not reason:
            return
        self._lost = True
        self._parked.wait(_PARKING_SECONDS)
        try:
            self._farewell(reason)
        finally:
            os._exit(EXIT_STATUS)

    def _look(self) -> str:
        """Why Ray is gone; empty when there is no more to watch."""
        import ray._private.worker as worker

        node = worker._global_node
        if node is None:
            return ""
        look = _Own(node) if node.is_head() else _Foreign(node)
        while not self._done.wait(look.seconds):
            if reason := look():
                return reason
        return ""


class _Own:
    """A Ray that this process has started: its processes are children."""

    seconds = 1.0

    def __init__(self, node: Any) -> None:
        self._node = node

    def __call__(self) -> str:
        dead = {name for name, _ in self._node.dead_processes()}
        gone = [said for name, said in _ESSENTIAL.items() if name in dead]
        return f"Ray's {gone[0]} has ended (where memory runs out, it may be killed)" if gone else ""


_ESSENTIAL = {"gcs_server": "head process", "raylet": "node manager"}


class _Foreign:
    """A Ray that somebody else has started: its node manager on this machine, and the way to its head."""

    seconds = 5.0

    def __init__(self, node: Any) -> None:
        self._raylet, self._head = node.raylet_socket_name, node.gcs_address
        self._seen = time.monotonic()

    def __call__(self) -> str:
        if not _answers_on_socket(self._raylet):
            return "Ray's node manager on this machine has ended (where memory runs out, it may be killed)"
        if _answers_at(self._head):
            self._seen = time.monotonic()
        if time.monotonic() - self._seen > HEAD_PATIENCE_SECONDS:
            return f"Ray's head at {self._head} does not answer any more"
        return ""


def _answers_on_socket(path: str) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_CONNECT_SECONDS)
        connection.connect(path)
        return True
    return False


def _answers_at(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError, ValueError):
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
        return True
    return False
