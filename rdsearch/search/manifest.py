"""What has to be known to make a search again: versions, seeds, hardware, data."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rdsearch.compression import Baseline
from rdsearch.config import SearchFile
from rdsearch.tasks.task import Task

_PACKAGES = ("rdsearch", "torch", "torchvision", "ray", "optuna", "numpy", "constriction")


def make_manifest(file: SearchFile, task: Task, baseline: Baseline, command: str | None) -> dict[str, Any]:
    """The manifest of a search that begins now."""
    return {
        "name": file.name,
        "task": task.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "seed": file.search.seed,
        "task_fingerprint": task.fingerprint,
        "split_sizes": {"train": len(task.train), "validation": len(task.validation)},
        "validation_seed": task.seed,
        "split_fingerprints": {"train": task.train.fingerprint, "validation": task.validation.fingerprint},
        "score": {"accuracy": task.is_accuracy, "direction": task.direction},
        "baseline": {"val_accuracy": baseline.accuracy, "size_bytes": baseline.size_bytes},
        "versions": {"python": platform.python_version()} | _versions(),
        "hardware": _hardware(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def _hardware() -> dict[str, Any]:
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "platform": platform.platform(terse=True),
        "processor": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "gpus": gpus,
    }
