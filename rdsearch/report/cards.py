"""What the page's side panel says of each point of the front: figures, layers, recipe, commands, the trial's rounds."""

from __future__ import annotations

import math
import shlex
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rdsearch.base.terminal import printable
from rdsearch.base.units import format_duration, format_size, standard_error
from rdsearch.points.point import OperatingPoint
from rdsearch.points.scalars import format_cell
from rdsearch.report.anatomy import anatomy
from rdsearch.report.summary import SearchSummary
from rdsearch.report.table import format_ratio


def point_cards(summary: SearchSummary, directory: Path) -> list[dict[str, Any]]:
    """One card a point of the front, ready for JSON: texts to be shown as they are, and numbers to be drawn."""
    rounds = _rounds(summary)
    return [
        {
            "drop": point.accuracy_drop,
            "title": f"{point.size_bytes:,} bytes",
            "figures": _figures(point, summary),
            "parts": [
                [printable(part.name), part.survivors / max(1, part.count), part.bytes]
                for part in (anatomy(point.path) if point.path is not None else [])
            ],
            "recipe": [
                [printable(name), printable(format_cell(value))] for name, value in sorted(point.parameters.items())
            ],
            "commands": _commands(point, directory),
            "file": list(file_link(point, directory)),
            "near": printable(summary.ancestors[index]) if summary.ancestors else "",
            "rounds": rounds.get(point.trial, []) if point.trial is not None else [],
        }
        for index, point in enumerate(summary.front)
    ]


def _rounds(summary: SearchSummary) -> dict[int, list[list[float]]]:
    """Number, size and accuracy of every round of the trials that hold the front, in order."""
    wanted = {point.trial for point in summary.front if point.trial is not None}
    found: dict[int, list[tuple[int, int, float]]] = defaultdict(list)
    for point in summary.points:
        if point.trial in wanted and point.trial is not None and math.isfinite(point.val_accuracy):
            found[point.trial].append((point.round, point.size_bytes, point.val_accuracy))
    return {trial: [list(found) for found in sorted(points)] for trial, points in found.items()}


def _figures(point: OperatingPoint, summary: SearchSummary) -> list[list[str]]:
    error = ""
    if summary.n_validation and 0 <= point.val_accuracy <= 1:
        error = f" ± {standard_error(point.val_accuracy, summary.n_validation):.4f}"
    rows = [
        ["compression", f"{format_ratio(point.compression_ratio)} of {format_size(summary.front.baseline_size_bytes)}"],
        ["validation", f"{point.val_accuracy:.4f}{error}"],
        ["drop", f"{point.accuracy_drop:+.4f}".replace("-", "−")],
        *([["test", f"{point.test_accuracy:.4f}"]] if point.test_accuracy is not None else []),
        ["sparsity", f"{point.sparsity:.4f}"],
        ["bits per weight", f"{point.rate_bits_per_weight:.4g}"],
    ]
    made = f"round {point.round}" if point.trial is None else f"trial {point.trial}, round {point.round}"
    return [*rows, ["made by", f"{made}, in {format_duration(point.seconds)}"]]


def _commands(point: OperatingPoint, directory: Path) -> list[str]:
    """What to type for this very file, from the folder that the page lies in."""
    if point.path is None:
        return []
    path, _ = file_link(point, directory)
    name = shlex.quote(path)
    return [
        f"rdsearch info {name}",
        f"rdsearch decode {name} -o network.safetensors",
        f'python -c "import rdsearch; state = rdsearch.load({path!r})"',
    ]


def file_link(point: OperatingPoint, directory: Path) -> tuple[str, str | None]:
    """How to show a point's file, and where to link it: only what moves with the page is linked."""
    if point.path is None:
        return "–", None
    path, root = point.path.absolute(), directory.absolute()
    if not path.is_relative_to(root):
        return str(path), None
    inside = path.relative_to(root).as_posix()
    return inside, quote(inside)
