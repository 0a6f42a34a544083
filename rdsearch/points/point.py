"""The operating point: one file, and what it does."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Scalar = str | int | float | bool | None


def shown_by(part: str = "notebook") -> Any:
    """A module of the report, which shows what is here; by its name, since this room knows nothing of that one."""
    return importlib.import_module(f"rdsearch.report.{part}")


@dataclass(frozen=True, slots=True, repr=False)
class OperatingPoint:
    """One compressed network: the size of its file and the accuracy of what the file decodes to.

    Attributes:
        size_bytes: ``len(file)``, everything in it.
        val_accuracy: Score of the decoded file on the validation part, more being better; a share of 1 for
            accuracies, minus the score where the task minimises it.
        accuracy_drop: The dense network's validation accuracy minus this one's; negative where it gained.
        compression_ratio: Bytes of the dense float32 network over ``size_bytes``.
        sparsity: Share of zeros among the prunable weights in the decoded file.
        rate_bits_per_weight: ``8 * size_bytes`` over the number of prunable weights.
        seconds: Wall time that this round took.
        round: Pruning round that produced it, counted from 1.
        parameters: The recipe, flat: ``{"pruning.rate": 0.2, ...}``.
        trial: Number of the trial in its search; ``None`` outside a search.
        path: Where the file lies, when it lies on disk.
        data: The file itself, when it was just made.
        test_accuracy: Score on the test split, once ``rdsearch test`` has read it.
        sha256: Of the file, hex, where a search has stored it.
    """

    size_bytes: int
    val_accuracy: float
    accuracy_drop: float
    compression_ratio: float
    sparsity: float
    rate_bits_per_weight: float
    seconds: float
    round: int
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    trial: int | None = None
    path: Path | None = None
    data: bytes | None = field(default=None, repr=False, compare=False)
    test_accuracy: float | None = None
    sha256: str | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        made = f"round {self.round}" if self.trial is None else f"trial {self.trial}, round {self.round}"
        tested = "" if self.test_accuracy is None else f", test {self.test_accuracy:.4f}"
        return (
            f"OperatingPoint({self.size_bytes:,} bytes, validation {self.val_accuracy:.4f}{tested}, "
            f"drop {self.accuracy_drop:+.4f}, {made})"
        )

    def _repr_html_(self) -> str:
        return str(shown_by().point_html(self))
