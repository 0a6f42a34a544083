"""What has to be known to make a search again: versions, seeds, hardware, data."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rdsearch.base.plugins import packages
from rdsearch.compression.measure import Baseline
from rdsearch.config.searchfile import SearchFile
from rdsearch.tasks.task import Task

_PACKAGES = ("rdsearch", "torch", "torchvision", "ray", "optuna", "numpy", "constriction")


def make_manifest(
    file: SearchFile, task: Task, baseline: Baseline, on_subset: Baseline, command: str | None
) -> dict[str, Any]:
    """The manifest of a search that begins now.

    Args:
        file: The search file.
        task: What is compressed.
        baseline: The dense network on the whole validation part.
        on_subset: The same on what trials are scored on; recorded where that is less.
        command: The command line, when there was one.
    """
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
        "inputs": task.inputs,
        "score": {"accuracy": task.is_accuracy, "direction": task.direction},
        "baseline": {"val_accuracy": baseline.accuracy, "size_bytes": baseline.size_bytes},
        **({"validation_subset": _subset(task.on_subset(), on_subset)} if task.has_subset else {}),
        "versions": {"python": platform.python_version()} | _versions() | packages(),
        "hardware": _hardware(),
    }


def _subset(task: Task, baseline: Baseline) -> dict[str, Any]:
    return {
        "examples": len(task.validation),
        "fingerprint": task.validation.fingerprint,
        "baseline_val_accuracy": baseline.accuracy,
    }


def baseline_of(manifest: Mapping[str, Any]) -> Baseline:
    """The dense network on the whole validation part, as a manifest has it."""
    return Baseline(manifest["baseline"]["val_accuracy"], manifest["baseline"]["size_bytes"])


def trials_baseline(manifest: Mapping[str, Any]) -> Baseline:
    """The dense network on what trials are scored on: the subset where there is one, else the whole part."""
    whole = baseline_of(manifest)
    if "validation_subset" not in manifest:
        return whole
    return Baseline(manifest["validation_subset"]["baseline_val_accuracy"], whole.size_bytes)


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
