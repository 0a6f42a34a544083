"""The quality layers of the front's files as a table, and as CSV or JSON for other programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Literal

from rich import box
from rich.table import Table
from rich.text import Text

from rdsearch.points.columns import FIGURES
from rdsearch.report.table import format_ratio
from rdsearch.search.outcome.progressive import ProgressivePoint


def progressive_table(points: Sequence[ProgressivePoint], *, caption: str | None = None) -> Table:
    """One row a prefix, by file and layer; those that nothing beats are marked by a star.

    Args:
        points: The prefixes.
        caption: A line below the table.
    """
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        caption=Text(caption) if caption is not None else None,
        caption_justify="left",
    )
    for name in ("#", "layer", "bytes", "ratio", "val", "drop", "sparsity", "best"):
        table.add_column(name, justify="right", no_wrap=True)
    for point in points:
        figures = point.figures
        table.add_row(
            str(point.number),
            f"{point.quality_layer} of {point.quality_layers}",
            f"{figures.size_bytes:,}",
            format_ratio(figures.compression_ratio),
            f"{figures.val_accuracy:.4f}",
            f"{figures.accuracy_drop:+.4f}",
            f"{figures.sparsity:.4f}",
            "*" if point.best else "",
        )
    return table


def progressive_text(points: Sequence[ProgressivePoint], form: Literal["csv", "json"]) -> str:
    """The table for another program.

    Columns: ``point, quality_layer, quality_layers``, the figures, ``best`` and the ``file`` to be cut.
    """
    records = [_record(point) for point in points]
    if form == "json":
        return json.dumps({"quality_layers": records}, indent=2) + "\n"
    text = io.StringIO(newline="")
    writer = csv.DictWriter(
        text, ["point", "quality_layer", "quality_layers", *FIGURES, "best", "file"], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _record(point: ProgressivePoint) -> dict[str, Any]:
    figures = {name: getattr(point.figures, name) for name in FIGURES}
    head = {"point": point.number, "quality_layer": point.quality_layer, "quality_layers": point.quality_layers}
    return {**head, **figures, "best": point.best, "file": str(point.figures.path)}
