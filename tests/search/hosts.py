"""Several hosts on this machine: network namespaces on one switch, whose cables can be pulled."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_NUMBERS = itertools.count()
_ECHO = """
import socket, sys
ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ear.bind((sys.argv[1], 7007))
print("ready", flush=True)
while True:
    ear.sendto(*ear.recvfrom(64))
"""
_ASK = """
import socket, sys, time
mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
mouth.settimeout(0.2)
for number in range(int(sys.argv[2])):
    sent = time.monotonic()
    mouth.sendto(b"%d" % number, (sys.argv[1], 7007))
    try:
        while int(mouth.recv(64)) != number:
            pass
        print((time.monotonic() - sent) * 1e3)
    except TimeoutError:
        pass
"""


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


def _tap_possible() -> bool:
    """Whether this process may make network devices of its own, as `Hosts.slow` does."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError:
        return False
    return True


MISSING = not _possible()
TAP_MISSING = not _tap_possible()


class Hosts:
    """Hosts that reach each other at 10.77.0.1, 10.77.0.2, …; see `hosts`."""

    def __init__(self, count: int) -> None:
        self._prefix = f"rds-{os.getpid()}-{next(_NUMBERS)}"
        self._switch = f"{self._prefix}-s"
        self._running: list[subprocess.Popen[Any]] = []
        self._relays: list[subprocess.Popen[bytes]] = []
        self._names = [f"{self._prefix}-{number}" for number in range(1, count + 1)]
        for name in (self._switch, *self._names):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", self._switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "switch", "up")
        for number, name in enumerate(self._names, 1):
            _ip("-n", self._switch, "link", "add", f"h{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", self._switch, "link", "set", f"h{number}", "master", "switch", "up")
            self._plug_in(number)

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

    def slow(self, number: int, milliseconds: float, loss: float) -> None:
        """Send all that goes to and from the host through a relay that delays it and loses some of it.

        Args:
            number: The host.
            milliseconds: Delay of a frame, each way; two fifths more or less of it by chance.
            loss: Share of the frames that get lost.
        """
        near, far = f"n{number}", f"f{number}"
        name = self._names[number - 1]
        relay = subprocess.Popen(
            [sys.executable, "-m", "tests.search.relay", near, far, str(milliseconds), str(loss)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
        )
        self._relays.append(relay)
        assert relay.stdout is not None
        assert relay.stdout.readline(), "it has made its devices"
        _ip("link", "set", near, "netns", name)
        _ip("link", "set", far, "netns", self._switch)
        _ip("-n", name, "link", "delete", "eth0")
        _ip("-n", name, "link", "set", near, "name", "eth0")
        self._plug_in(number)
        _ip("-n", self._switch, "link", "set", far, "name", f"h{number}", "master", "switch", "up")

    def _plug_in(self, number: int) -> None:
        name = self._names[number - 1]
        # The same hardware address for whatever device it is: others remember it.
        _ip("-n", name, "link", "set", "eth0", "address", f"02:00:0a:4d:00:{number:02x}")
        _ip("-n", name, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")

    def round_trips(self, number: int, other: int, count: int) -> list[float]:
        """Milliseconds to another host and back, of those of so many datagrams that come back."""
        bare = [sys.executable, "-I", "-S", "-c"]
        echo = self.start(other, [*bare, _ECHO, self.address(other)], dict(os.environ), stdout=subprocess.PIPE)
        assert echo.stdout is not None
        assert echo.stdout.readline(), "it listens"
        ask = self.start(
            number, [*bare, _ASK, self.address(other), str(count)], dict(os.environ), stdout=subprocess.PIPE
        )
        said, _ = ask.communicate()
        echo.kill()
        echo.communicate()
        return [float(word) for word in said.split()]

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
        for relay in self._relays:
            relay.kill()
            relay.communicate()
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
