"""docs/cluster/search.slurm on a real SLURM of two nodes: a chain of jobs under one number ends with every trial."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from rdsearch.search.outcome.results import read_results
from tests.search.slurm import MISSING, slurm

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "cluster" / "search.slurm"
TRIALS = 14
SPACE = {
    "task": {"network": "slow_task:network", "dataset": "slow_task:data", "validation": 60, "train": {"epochs": 0}},
    "recipe": {
        "pruning": {"method": {"choice": ["global", "uniform"]}, "rounds": 2, "rate": {"float": [0.1, 0.6]}},
        "retrain": {"epochs": 0},
        "quantization": {"method": "uniform", "step": {"float": [0.1, 1.0], "log": True}},
    },
    "search": {"trials": TRIALS, "seed": 1},
}
TASK = """
import time
import numpy as np
from torch import nn

def network():
    return nn.Linear(8, 4)

def data():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 4, 300)
    inputs = (rng.normal(size=(300, 8)) + 2 * np.eye(4, 8)[targets]).astype(np.float32)
    return {"train": (inputs[:240], targets[:240]), "test": (inputs[240:], targets[240:])}
"""

pytestmark = [pytest.mark.skipif(MISSING, reason="needs SLURM, and root to start it"), pytest.mark.timeout(400)]


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's own: Ray's sockets must have paths of less than 108 characters.
    path = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def wait_until(done: Callable[[], bool], what: str, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.5)


def test_a_chain_of_jobs_ends_with_every_trial_and_the_options_that_were_given(folder: Path) -> None:
    (folder / "slow_task.py").write_text(TASK)
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
    commands = folder / "bin"
    commands.mkdir()
    (commands / "rdsearch").write_text(f"#!{sys.executable}\nfrom rdsearch.cli import main\nmain()\n")
    (commands / "rdsearch").chmod(0o755)
    out, log = folder / "out", folder / "log"
    with slurm(folder / "slurm", cores=2) as environment:
        environment |= {
            "PATH": f"{commands}:{Path(sys.executable).parent}:{environment['PATH']}",
            "PYTHONPATH": f"{ROOT}:{folder}",
            "RAY_TMPDIR": str(folder / "ray"),
            "SPACE": str(folder / "space.yaml"),
            "FOLDER": str(out),
        }
        (folder / "ray").mkdir()
        options = ["--nodes=2", "--cpus-per-task=1", "--gpus-per-task=0", f"--output={log}", "--job-name=chain"]
        submitted = subprocess.run(
            ["sbatch", "--parsable", *options, SCRIPT], env=environment, cwd=folder, capture_output=True, text=True
        )
        assert submitted.returncode == 0, submitted.stderr
        job = submitted.stdout.strip()

        def shown(key: str) -> str:
            text = subprocess.run(["scontrol", "show", "job", job], env=environment, capture_output=True, text=True)
            return next(word for word in text.stdout.split() if word.startswith(f"{key}=")).partition("=")[2]

        stored = lambda: len(list((out / "trials").glob("*/round_*")))  # noqa: E731
        try:
            wait_until(lambda: stored() > 0, "a first round")
            # What SLURM sends two minutes before the limit.
            subprocess.run(["scancel", "--batch", "--signal=USR1", job], env=environment, check=True)
            wait_until(lambda: shown("Restarts") == "1" and shown("JobState") == "RUNNING", "the second start")
            assert shown("NumNodes") == "2"
            assert shown("JobName") == "chain"
            wait_until(lambda: shown("JobState") in {"COMPLETED", "FAILED"}, "the end")
        finally:
            sys.stdout.write(log.read_text() if log.exists() else "no log")
            subprocess.run(["scancel", job], env=environment, check=False)
        assert shown("JobState") == "COMPLETED"
    results = read_results(out)
    assert results.finished == TRIALS
    assert not results.failed
    assert json.loads((out / "manifest.json").read_text())["target"] == TRIALS
