"""A cable that delays what it carries, and loses some of it.

``python -m tests.search.relay NEAR FAR MILLISECONDS LOSS`` makes two network devices of these names, and carries
Ethernet frames between them for as long as it runs. A kernel with `netem` could do that by itself.
"""

from __future__ import annotations

import fcntl
import os
import random
import selectors
import struct
import sys
import time
from collections import deque

_SET_INTERFACE, _TAP, _NO_HEADER = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h
_LONGEST = 2**16
_JITTER = 0.4
_MOST_WAITING = 4096
"""Frames under way in one direction; like any other router's, what is more is lost."""


def device(name: str) -> int:
    """A new network device of that name, whose frames are read from and written to the returned descriptor."""
    made = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(made, _SET_INTERFACE, struct.pack("16sH22x", name.encode(), _TAP | _NO_HEADER))
    return made


class Way:
    """One direction: frames leave it in the order in which they came."""

    def __init__(self, source: int, sink: int, seconds: float, loss: float) -> None:
        self.source, self._sink = source, sink
        self._seconds, self._loss = seconds, loss
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._random = random.Random(source)

    def take(self) -> None:
        """Take in a frame."""
        frame = os.read(self.source, _LONGEST)
        if self._random.random() < self._loss or len(self._waiting) >= _MOST_WAITING:
            return
        due = time.monotonic() + self._seconds * self._random.uniform(1 - _JITTER, 1 + _JITTER)
        self._waiting.append((max(due, self._waiting[-1][0]) if self._waiting else due, frame))

    def give(self) -> float | None:
        """Let out what is due; the time at which the next one is."""
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            _, frame = self._waiting.popleft()
            try:
                os.write(self._sink, frame)
            except OSError:
                continue  # the device is down
        return self._waiting[0][0] if self._waiting else None


def main(near: str, far: str, milliseconds: float, loss: float) -> None:
    """Carry frames until the process is killed."""
    one, other = device(near), device(far)
    ways = [Way(one, other, milliseconds / 1e3, loss), Way(other, one, milliseconds / 1e3, loss)]
    selector = selectors.DefaultSelector()
    for way in ways:
        selector.register(way.source, selectors.EVENT_READ, way)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        due = [at for way in ways if (at := way.give()) is not None]
        for key, _ in selector.select(max(0.0, min(due) - time.monotonic()) if due else None):
            key.data.take()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
