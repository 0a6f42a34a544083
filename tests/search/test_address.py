"""``rdsearch search --address auto`` on a Ray that somebody has started: it is used, and left running."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rdsearch.config.yamlfile import write_yaml
from tests.searches import SPACE

ROOT = Path(__file__).parents[2]
START_SECONDS = 120
COMMAND = [sys.executable, "-c", "from rdsearch.cli import main; main()"]


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """Of a user whose Ray keeps its files, and with them its address, in a folder of its own."""
    # Not in pytest's folder: the sockets in it must have paths of less than 108 characters.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    try:
        inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        yield inherited | {"PYTHONPATH": str(ROOT), "RAY_TMPDIR": folder}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def head(environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """`ray start --head` on the loopback interface."""
    options = {
        "port": "0",
        "node-ip-address": "127.0.0.1",
        "num-cpus": "1",
        "include-dashboard": "false",
    }
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--disable-usage-stats"]
    command += [f"--{name}={value}" for name, value in options.items()]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (Path(environment["RAY_TMPDIR"]) / "ray/ray_current_cluster").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_a_search_on_a_running_ray_uses_it_and_leaves_it_running(
    head: subprocess.Popen[bytes], environment: dict[str, str], tmp_path: Path
) -> None:
    write_yaml(tmp_path / "small.yaml", SPACE)
    out = tmp_path / "search"
    options = ["search", str(tmp_path / "small.yaml"), "--address", "auto", "--trials", "2", "--out", str(out)]
    done = subprocess.run([*COMMAND, *options], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 trials, 1 at a time" in done.stdout
    assert sorted(path.name for path in out.glob("trials/*")) == ["00000", "00001"]
    for outcome in out.glob("trials/*/outcome.json"):
        assert json.loads(outcome.read_bytes())["state"] == "complete"
    assert head.poll() is None
    sessions = Path(environment["RAY_TMPDIR"]).glob("ray/session_2*/logs/worker-*")
    assert any(sessions), "its workers ran there"
