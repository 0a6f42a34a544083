"""A task whose trials take as long as they are told to, and meet with what they are told to.

What befalls a worker is decided by files in a folder, which a test writes before or while a search runs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from torch import nn

from rdsearch.tasks.task import Task

ROUNDS, SEED = 3, 1
EVALUATIONS, HURRY = "evaluations", "hurry"


@dataclass(frozen=True)
class Paced:
    """Top-1 accuracy after a while.

    Attributes:
        seconds: How long a round takes.
        faults: Folder with a file for each fault that shall befall a worker, by its name, and in it how often;
            every evaluation is noted there as well. From when there is one with the name `HURRY`, no round takes long.
        driver: The process that no fault befalls.
    """

    seconds: float
    faults: Path
    driver: int = field(default_factory=os.getpid)

    def __call__(self, network: nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> float:
        with (self.faults / EVALUATIONS).open("a") as file:
            node = ray.get_runtime_context().get_node_id() if os.getpid() != self.driver else "driver"
            file.write(f"{node} {Path.cwd()}\n")
        end = time.monotonic() + self.seconds
        while time.monotonic() < end and not (self.faults / HURRY).exists():
            time.sleep(min(0.05, self.seconds))
        for name, fault in FAULTS.items():
            if os.getpid() != self.driver and due(self.faults / name):
                return float(fault())
        right = total = 0
        with torch.no_grad():
            for inputs, targets in batches:
                right += int((network(inputs).argmax(1) == targets).sum())
                total += len(targets)
        return right / total


def due(file: Path) -> bool:
    """Whether the fault is to happen now; the file then counts one less. Meant for one worker at a time."""
    if not file.exists():
        return False
    left = int(file.read_text() or 1) - 1
    if left:
        file.write_text(str(left))
    else:
        file.unlink()
    return True


def _killed() -> float:
    os.kill(os.getpid(), 9)
    raise AssertionError


def _memory_error() -> float:
    raise MemoryError("no room for a tensor")


def _cpu_out_of_memory() -> float:
    return float(torch.empty(2**60, dtype=torch.uint8).numel())


def _gpu_out_of_memory() -> float:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


FAULTS: dict[str, Any] = {
    "killed": _killed,
    "nan": lambda: float("nan"),
    "memory error": _memory_error,
    "cpu out of memory": _cpu_out_of_memory,
    "gpu out of memory": _gpu_out_of_memory,
}


def paced_task(seconds: float, faults: Path) -> Task:
    """A linear network on four made-up classes."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 4, 240)
    inputs = (rng.normal(size=(240, 8)) + 2 * np.eye(4, 8)[targets]).astype(np.float32)
    network = nn.Linear(8, 4)
    with torch.no_grad():
        network.weight.copy_(torch.eye(4, 8) + 0.05 * torch.randn(4, 8, generator=torch.Generator().manual_seed(0)))
        network.bias.zero_()
    return Task(network=network, train=(inputs, targets), validation=60, evaluate=Paced(seconds, faults), name="paced")


REHEARSED = 2
"""Evaluations before a search begins: each of the space's two methods is tried out once."""


def evaluations(faults: Path) -> int:
    """How often any worker or driver has evaluated a network."""
    return len(working_folders(faults))


def working_folders(faults: Path) -> list[Path]:
    """Where it was when it did so, each time."""
    return [Path(line.partition(" ")[2]) for line in (faults / EVALUATIONS).read_text().splitlines()]


def nodes(faults: Path) -> list[str]:
    """On which node of Ray a worker was when it did so, each time."""
    lines = [line.partition(" ")[0] for line in (faults / EVALUATIONS).read_text().splitlines()]
    return [node for node in lines if node != "driver"]


def paced_space(trials: int, concurrent: int = 2, **search: Any) -> dict[str, Any]:
    """The content of a search file for `paced_task`."""
    return {
        "recipe": {
            "pruning": {
                "method": {"choice": ["global", "uniform"]},
                "rounds": ROUNDS,
                "rate": {"float": [0.1, 0.6]},
            },
            "retrain": {"epochs": 0},
            "quantization": {"method": "uniform", "step": {"float": [0.1, 1.0], "log": True}, "calibration": 16},
        },
        "search": {"trials": trials, "seed": SEED, "constraints": {}, **search},
        "resources": {"cpu": 1, "concurrent": concurrent},
    }
