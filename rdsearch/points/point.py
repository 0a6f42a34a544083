"""The operating point: one file, and what it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
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
