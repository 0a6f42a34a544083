"""What commands do without what Windows lacks: ``fcntl``, and signals that only POSIX has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = ROOT / "results" / "digits_bytes" / "front" / "trial0001_round001.rdz"

# Libraries look at the platform when they are imported: rdsearch alone is to see another one.
ON_WINDOWS = """
import asyncio, contextlib, io, json, signal, subprocess, sys
import click, numba, pydantic, rich.console, safetensors.numpy, sklearn.datasets, torch
sys.platform = "win32"
sys.modules["fcntl"] = None
for name in ("SIGHUP", "SIGUSR1"):
    delattr(signal, name)
from rdsearch.cli import main
commands, ends = json.loads(sys.argv[1]), []
for words in commands:
    sys.argv = ["rdsearch", *words]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as end:
            ends.append((end.code, said.getvalue()))
print(json.dumps(ends))
"""


def test_commands_on_a_file_run_on_windows_and_a_search_ends_with_one_sentence(tmp_path: Path) -> None:
    commands = [
        ["info", str(FILE)],
        ["decode", str(FILE), "-o", "network.safetensors"],
        ["evaluate", str(FILE), "digits_bytes"],
        ["search", "digits"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", ON_WINDOWS, json.dumps(commands)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout)
    assert [status for status, _ in ends] == [0, 0, 0, 2], ends
    for (_, said), expected in zip(
        ends, ["362 bytes", "network.safetensors: ", "validation accuracy 0.99", "Error: searches need"], strict=True
    ):
        assert expected in said
    assert len(ends[-1][1].splitlines()) == 1
