"""rdsearch: the smallest files that still do the job.

A search over pruning schedules, per-layer budgets and quantisers, distributed by Ray and steered by Optuna;
each trial is successive pruning followed by entropy coding, and the result is a Pareto front of real files.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rdsearch import coding as coding
    from rdsearch import testing as testing
    from rdsearch.compression.loading import load as load
    from rdsearch.compression.loading import load_tensors as load_tensors
    from rdsearch.compression.rounds import compress as compress
    from rdsearch.config.recipe import Recipe as Recipe
    from rdsearch.errors import RdsearchError as RdsearchError
    from rdsearch.points.front import Front as Front
    from rdsearch.points.point import OperatingPoint as OperatingPoint
    from rdsearch.search.api import resume as resume
    from rdsearch.search.api import search as search
    from rdsearch.search.outcome.results import load_front as load_front
    from rdsearch.search.outcome.testsplit import score_on_test as score_on_test
    from rdsearch.shipping.package import ship as ship
    from rdsearch.tasks.task import Task as Task

__version__ = "0.1.0"

_PUBLIC = {
    "Front": "rdsearch.points.front",
    "OperatingPoint": "rdsearch.points.point",
    "RdsearchError": "rdsearch.errors",
    "Recipe": "rdsearch.config.recipe",
    "Task": "rdsearch.tasks.task",
    "compress": "rdsearch.compression.rounds",
    "load": "rdsearch.compression.loading",
    "load_tensors": "rdsearch.compression.loading",
    "load_front": "rdsearch.search.outcome.results",
    "resume": "rdsearch.search.api",
    "score_on_test": "rdsearch.search.outcome.testsplit",
    "ship": "rdsearch.shipping.package",
}
_MODULES = ("coding", "search", "testing")

__all__ = [*_PUBLIC, *_MODULES]  # noqa: PLE0604 - names only


def __getattr__(name: str) -> Any:
    # torch, ray and optuna are imported where they are used: `import rdsearch` costs a few milliseconds.
    if name in _MODULES:
        return importlib.import_module(f"rdsearch.{name}")
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'rdsearch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
