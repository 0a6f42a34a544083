"""Searches made up from a formula, so that every figure of a report is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rdsearch.points.front import Front, pareto
from rdsearch.points.point import OperatingPoint
from rdsearch.report.summary import SearchSummary

DENSE_BYTES = 1_066_440
BASELINE = 0.984


def made_up_points(trials: int = 12, rounds: int = 10) -> list[OperatingPoint]:
    """Trials whose accuracy falls with size, each by its own constant."""
    points = []
    for trial in range(trials):
        rate, step = 0.2 + 0.02 * trial, 0.02 * 1.3**trial
        for round_ in range(1, rounds + 1):
            density = (1 - rate) ** round_
            size = int(DENSE_BYTES * density * 0.2 / (1 + step)) + 400
            accuracy = BASELINE + 0.001 - (20 + 3 * (trial * 7 % 5)) / size * (1 + step)
            points.append(
                OperatingPoint(
                    size_bytes=size,
                    val_accuracy=round(accuracy, 4),
                    accuracy_drop=BASELINE - round(accuracy, 4),
                    compression_ratio=DENSE_BYTES / size,
                    sparsity=1 - density,
                    rate_bits_per_weight=8 * size / 266_610,
                    seconds=3.5,
                    round=round_,
                    parameters={
                        "pruning.method": ("surp", "lamp", "erk")[trial % 3],
                        "pruning.rate": rate,
                        "quantization.step": step,
                        "quantization.dead_zone": 0.5,
                        "retrain.epochs": trial % 4,
                    },
                    trial=trial,
                )
            )
    return points


def make_summary(
    points: list[OperatingPoint], *, tested: bool = False, folder: Path | None = None, **changes: object
) -> SearchSummary:
    members = [
        replace(
            point,
            test_accuracy=point.val_accuracy - 0.003 if tested else None,
            path=None if folder is None else folder / "front" / f"{number:02d}.rdz",
        )
        for number, point in enumerate(pareto(points), start=1)
    ]
    settings: dict[str, object] = {
        "name": "lenet300 on mnist",
        "points": points,
        "front": Front(members, baseline_accuracy=BASELINE, baseline_size_bytes=DENSE_BYTES),
        "trials_finished": 11,
        "trials_failed": 1,
        "seconds": 5432.0,
        "manifest": {"versions": {"torch": "2.14.0"}, "seed": 0, "hardware": {"cores": 2, "gpu": None}},
        "command": "rdsearch search space.yaml --trials 12",
        "config": "task:\n  network: lenet300\n",
        "n_validation": 5000,
        "reference_accuracy": 0.9,
    }
    return SearchSummary(**{**settings, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def points() -> list[OperatingPoint]:
    return [*made_up_points(), replace(made_up_points(1, 1)[0], val_accuracy=math.nan, trial=99)]


@pytest.fixture
def summarize(points: list[OperatingPoint]) -> Callable[..., SearchSummary]:
    """Make a summary of the points, or of others given as ``points``."""

    def summarize(**changes: object) -> SearchSummary:
        return make_summary(changes.pop("points", points), **changes)  # type: ignore[arg-type]

    return summarize
