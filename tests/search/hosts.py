"""Several hosts on this machine: network namespaces on one switch, whose cables can be pulled."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_NUMBERS = itertools.count()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _possible() -> bool:
    """Whether this process may make network namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"rds-{os.getpid()}"
    try:
        _ip("netns", "add", name)
        _ip("netns", "delete", name)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


MISSING = not _possible()


class Hosts:
    """Hosts that reach each other at 10.77.0.1, 10.77.0.2, …; see `hosts`."""

    def __init__(self, count: int) -> None:
        self._prefix = f"rds-{os.getpid()}-{next(_NUMBERS)}"
        self._switch = f"{self._prefix}-s"
        self._running: list[subprocess.Popen[Any]] = []
        self._names = [f"{self._prefix}-{number}" for number in range(1, count + 1)]
        for name in (self._switch, *self._names):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", self._switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "switch", "up")
        for number, name in enumerate(self._names, 1):
            _ip("-n", self._switch, "link", "add", f"h{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", self._switch, "link", "set", f"h{number}", "master", "switch", "up")
            _ip("-n", name, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")

    @staticmethod
    def address(number: int) -> str:
        """The address of a host, counted from 1."""
        return f"10.77.0.{number}"

    def start(
        self, number: int, command: Sequence[str | Path], environment: dict[str, str], **options: Any
    ) -> subprocess.Popen[Any]:
        """Run a command on a host, in a process group of its own."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self._names[number - 1], *command], env=environment, process_group=0, **options
        )
        self._running.append(process)
        return process

    def cut(self, number: int) -> None:
        """Pull the host's cable out."""
        _ip("-n", self._switch, "link", "set", f"h{number}", "down")

    def join(self, number: int) -> None:
        """Put the host's cable back in."""
        _ip("-n", self._switch, "link", "set", f"h{number}", "up")

    def slow(self, number: int, milliseconds: int, loss_percent: float) -> None:
        """Delay what the host sends, and lose some of it.

        Raises:
            subprocess.CalledProcessError: This kernel cannot do that.
        """
        device = ["dev", "eth0", "root", "netem"]
        shape = ["delay", f"{milliseconds}ms", f"{milliseconds // 5}ms", "loss", f"{loss_percent}%"]
        name = self._names[number - 1]
        subprocess.run(["tc", "-n", name, "qdisc", "replace", *device, *shape], check=True, capture_output=True)

    def answers(self, number: int, port: int) -> bool:
        """Whether somebody listens at a port of the host."""
        listening = subprocess.run(
            ["ip", "netns", "exec", self._names[number - 1], "ss", "-Hltn", f"sport = :{port}"],
            check=True,
            capture_output=True,
        )
        return bool(listening.stdout)

    def kill(self, number: int, spare: subprocess.Popen[Any] | None = None) -> None:
        """The host loses its power: every process on it is gone at once, but for one that is spared."""
        for process in self._processes(number):
            if spare is None or process != spare.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)

    def _processes(self, number: int) -> list[int]:
        listed = subprocess.run(
            ["ip", "netns", "pids", self._names[number - 1]], check=True, capture_output=True, text=True
        )
        return [int(word) for word in listed.stdout.split()]

    def close(self) -> None:
        """Switch everything off."""
        for number in range(1, len(self._names) + 1):
            self.kill(number)
        for process in self._running:
            process.wait()
        for name in (*self._names, self._switch):
            _ip("netns", "delete", name)


@contextlib.contextmanager
def hosts(count: int) -> Iterator[Hosts]:
    """So many hosts on one switch, for as long as the block lasts."""
    made = Hosts(count)
    try:
        yield made
    finally:
        made.close()
