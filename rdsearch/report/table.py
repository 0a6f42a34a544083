"""The front as a table for the terminal, and as CSV or JSON for other programs."""

from __future__ import annotations

import json
import math
from typing import Any, Literal

from rich import box
from rich.table import Table
from rich.text import Text

from rdsearch.base.terminal import printable
from rdsearch.points.front import Front
from rdsearch.points.point import OperatingPoint
from rdsearch.points.table import front_csv
from rdsearch.report.labels import recipe_line, varying


def front_table(
    front: Front,
    *,
    chosen: OperatingPoint | None = None,
    title: str | None = None,
    caption: str | None = None,
) -> Table:
    """The front, one row a point by rising size; the recipe column holds what the points differ in.

    Fits 80 columns, where long recipes wrap, and shows more of them where there is more room. The test
    accuracy has a column once any point has one, and standard errors of the validation accuracies where they are known.

    Args:
        front: The front.
        chosen: Show this point of the front alone, under its own number.
        title: A line above the table.
        caption: A line below it.
    """
    tested = any(point.test_accuracy is not None for point in front)
    table = Table(
        title=Text(printable(title)) if title is not None else None,
        title_justify="left",
        title_style="bold",
        caption=Text(caption) if caption is not None else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("#", justify="right", no_wrap=True)
    errors = [front.error(point) for point in front]
    unsure = ["±"] if any(error is not None for error in errors) else []
    for name in ("bytes", "ratio", "val", *unsure, *(["test"] if tested else []), "drop", "sparsity"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("recipe", overflow="fold", min_width=16)
    names = varying(front)
    for number, point in enumerate(front, start=1):
        if chosen is None or point == chosen:
            recipe = " ".join([recipe_line(point.parameters, names), f"round={point.round}"]).strip()
            error = [format_error(errors[number - 1]) for _ in unsure]
            cells = [str(number), *_figures(point, error, tested=tested), recipe]
            table.add_row(*(Text(cell) for cell in cells))
    return table


def _figures(point: OperatingPoint, error: list[str], *, tested: bool) -> list[str]:
    test = [] if not tested else ["–" if point.test_accuracy is None else f"{point.test_accuracy:.4f}"]
    return [
        f"{point.size_bytes:,}",
        format_ratio(point.compression_ratio),
        f"{point.val_accuracy:.4f}",
        *error,
        *test,
        f"{point.accuracy_drop:+.4f}",
        f"{point.sparsity:.4f}",
    ]


def format_error(error: float | None) -> str:
    """A standard error of an accuracy: ``.0018``."""
    return "–" if error is None else f"{error:.4f}".removeprefix("0")


def format_ratio(ratio: float) -> str:
    """A compression ratio: ``9.4×``, ``127×``."""
    return f"{ratio:.1f}×" if ratio < 99.95 else f"{ratio:,.0f}×"


def front_text(front: Front, form: Literal["csv", "json"], *, chosen: OperatingPoint | None = None) -> str:
    """The front for another program: the text of ``front.csv``, or JSON with the same names.

    JSON is ``{"baseline": {"val_accuracy", "size_bytes"}, "points": [{"point", …, "parameters": {…}}]}``,
    where a figure that is NaN or infinite is ``null``.

    Args:
        front: The front.
        form: ``"csv"`` or ``"json"``.
        chosen: Give this point of the front alone, under its own number.
    """
    return _FORMS[form](front, chosen)


def _csv(front: Front, chosen: OperatingPoint | None) -> str:
    return front_csv(front, chosen=chosen)


def _json(front: Front, chosen: OperatingPoint | None) -> str:
    return json.dumps(front_record(front, chosen=chosen), indent=2) + "\n"


def front_record(front: Front, *, chosen: OperatingPoint | None = None) -> dict[str, Any]:
    """The front, or one point of it, as plain data; see `front_text`."""
    points = [
        {name: _finite(value) for name, value in record.items()}
        | {"parameters": {name: _finite(value) for name, value in sorted(point.parameters.items())}}
        for record, point in zip(front.records(), front, strict=True)
        if chosen is None or point == chosen
    ]
    baseline = {"val_accuracy": front.baseline_accuracy, "size_bytes": front.baseline_size_bytes}
    return {"baseline": baseline, "points": points}


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


_FORMS = {"csv": _csv, "json": _json}
