"""Completion in a real shell, switched on by the line of the documentation."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
{switch_on}
try() {{
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    _rdsearch_completion rdsearch
    echo "${{COMPREPLY[@]}}"
}}
try rdsearch se
try rdsearch search --dry
try rdsearch spaces mnist
"""


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """An environment in whose path `rdsearch` is."""
    command = tmp_path / "rdsearch"
    command.write_text(f"#!{sys.executable}\nfrom rdsearch.cli import main\nmain()\n")
    command.chmod(0o755)
    return os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_line_for_bash_completes_commands_options_and_ready_searches(installed: dict[str, str]) -> None:
    page = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^eval .*bash_source.*$", page, re.M)
    command = ["bash", "--norc", "-c", SCRIPT.format(switch_on=line)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=installed)
    ready = "mnist_lenet300 mnist_lenet300_rounds mnist_lenet5"
    assert done.stdout.splitlines() == ["search", "--dry-run", ready], done.stderr


@pytest.mark.parametrize(
    ("words", "expected"), [("search my", "file,my"), ("front re", "dir,re"), ("watch re", "dir,re")]
)
def test_files_and_folders_are_left_to_the_shell(installed: dict[str, str], words: str, expected: str) -> None:
    asked = {"_RDSEARCH_COMPLETE": "bash_complete", "COMP_WORDS": f"rdsearch {words}", "COMP_CWORD": "2"}
    done = subprocess.run("rdsearch", capture_output=True, text=True, check=True, env=installed | asked)
    assert done.stdout.strip() == expected
