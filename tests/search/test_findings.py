"""Trials of one worker share what they find out about the dense network, and their files are those of `compress`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

import rdsearch
from rdsearch.config.space import parse_space
from rdsearch.search.outcome.results import read_results
from rdsearch.search.run import trainable
from rdsearch.tasks.task import Task
from tests.search.paced import due

ROOT = Path(__file__).parents[2]
TRIALS, SEED = 5, 1
RECIPE: dict[str, Any] = {
    "pruning": None,
    "retrain": None,
    "quantization": {
        "method": "hessian",
        "granularity": "sensitivity",
        "step": {"float": [0.3, 3.0], "log": True},
        "calibration": 64,
    },
}


@dataclass(frozen=True)
class Noting:
    """A score that notes its worker, and how often that has been given what was known; the worker may die of it.

    Attributes:
        folder: Where it notes it.
        driver: The process that only rehearses.
    """

    folder: Path
    driver: int = field(default_factory=os.getpid)

    def __call__(self, network: nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> float:
        if os.getpid() != self.driver:
            with (self.folder / "seen").open("a") as file:
                file.write(f"{os.getpid()} {trainable._findings.cache_info().hits}\n")
            if len((self.folder / "seen").read_text().splitlines()) > 2 and due(self.folder / "killed"):
                os.kill(os.getpid(), 9)
        return float(sum(network(inputs).sum() for inputs, _ in batches))


def test_files_of_a_search_that_lost_a_worker_are_those_of_compress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "killed").write_text("1")
    rng = np.random.default_rng(0)
    data = rng.normal(size=(300, 32)).astype(np.float32), rng.integers(0, 4, 300)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 4))
    task = Task(network=network, train=data, validation=60, evaluate=Noting(tmp_path), name="noted")
    search = {"trials": TRIALS, "seed": SEED, "constraints": {}, "patience": None, "sampler": "random"}
    space = {"recipe": RECIPE, "search": search, "resources": {"cpu": 1, "concurrent": 1}}
    rdsearch.search(space, task=task, out=tmp_path / "search", console=Console(quiet=True))
    seen = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    by_worker = {worker: [int(hits) for one, hits in seen if one == worker] for worker, _ in seen}
    assert sorted(by_worker.values(), key=len) == [[0, 1, 2], [0, 1, 2]], "one was killed in its third trial"
    points = read_results(tmp_path / "search").points
    assert len(points) == TRIALS
    whole, _ = parse_space(RECIPE, "test")
    for point in points:
        [alone] = rdsearch.compress(task, whole.recipe(point.parameters), seed=SEED, device="cpu")
        assert point.path is not None
        assert point.path.read_bytes() == alone.data
