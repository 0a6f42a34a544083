"""A PostgreSQL server of a test's own, as an unprivileged user, since the server refuses to run as root."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_USER = "nobody"
_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join(map(str, _PLACES))) or shutil.which(name)


def has_postgresql() -> bool:
    """Whether the server's programs are on this machine."""
    return _program("initdb") is not None and _program("pg_ctl") is not None


def _run(folder: Path, *command: str) -> None:
    demotion = {"user": _USER, "group": pwd.getpwnam(_USER).pw_gid} if os.getuid() == 0 else {}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **demotion)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class Server:
    """A server that can be stopped and started; ``url`` is of an empty database."""

    url: str
    home: Path
    options: str

    def start(self) -> None:
        self._control("-w", "-l", str(self.home / "log"), "-o", self.options, "start")

    def stop(self) -> None:
        self._control("-m", "immediate", "stop")

    def _control(self, *arguments: str) -> None:
        _run(self.home, str(_program("pg_ctl")), "-D", str(self.home / "data"), *arguments)


@contextmanager
def postgresql_server() -> Iterator[Server]:
    """Yield a server that runs."""
    # Not below the tests' folder, which only its owner may enter; and sockets want short paths.
    with tempfile.TemporaryDirectory(prefix="rdsearch-pg-", dir="/tmp") as name:
        home = Path(name)
        if os.getuid() == 0:
            shutil.chown(home, _USER)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        initdb = str(_program("initdb"))
        _run(home, initdb, "-D", str(home / "data"), "-U", "searcher", "-A", "trust", "--no-sync", "-E", "UTF8")
        server = Server(
            f"postgresql+psycopg://searcher@127.0.0.1:{port}/postgres",
            home,
            f"-c listen_addresses=127.0.0.1 -p {port} -k {home} -c fsync=off",
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()
