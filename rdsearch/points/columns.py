"""The figures of an operating point by name: the fixed columns of ``points.csv`` and ``front.csv``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rdsearch.points.point import OperatingPoint

FIGURES = (
    "size_bytes",
    "val_accuracy",
    "accuracy_drop",
    "compression_ratio",
    "sparsity",
    "rate_bits_per_weight",
)
"""What is measured of a file."""
POINT_COLUMNS = ("trial", "round", *FIGURES, "seconds", "file")
FRONT_COLUMNS = (
    "point",
    "size_bytes",
    "val_accuracy",
    "test_accuracy",
    "val_examples",
    "val_standard_error",
    "accuracy_drop",
    "compression_ratio",
    "sparsity",
    "rate_bits_per_weight",
    "seconds",
    "trial",
    "round",
    "file",
)

DERIVED_COLUMNS = ("point", "val_examples", "val_standard_error")
"""Columns of ``front.csv`` that follow from the front's order and its number of validation examples."""


def record(point: OperatingPoint, columns: Sequence[str]) -> dict[str, Any]:
    """A point's figures under the names ``columns``; ``file`` is its absolute path as text, or ``None``."""
    values = {name: getattr(point, name) for name in columns if name != "file"}
    return {**values, "file": None if point.path is None else str(point.path.absolute())}
