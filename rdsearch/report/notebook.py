"""Fronts and points as a notebook shows them: tables of HTML, and the report's own picture of the front."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterable, Sequence

from rdsearch.base.terminal import printable
from rdsearch.base.units import format_duration
from rdsearch.errors import RdsearchError
from rdsearch.points.front import Front
from rdsearch.points.point import OperatingPoint
from rdsearch.points.scalars import format_cell
from rdsearch.report.image import front_picture, picture_bytes
from rdsearch.report.labels import recipe_line, varying
from rdsearch.report.table import format_error, format_ratio


def front_html(front: Front) -> str:
    """The picture of the front, where matplotlib is installed, and the table that `rdsearch front` prints."""
    if not len(front):
        return f"<p>{_text(repr(front))}</p>"
    tested = any(point.test_accuracy is not None for point in front)
    errors = [front.error(point) for point in front]
    unsure = any(error is not None for error in errors)
    heads = ["#", "bytes", "ratio", "val", *(["±"] * unsure), *(["test"] * tested), "drop", "sparsity", "recipe"]
    names = varying(front)
    rows = [
        [
            str(number),
            f"{point.size_bytes:,}",
            format_ratio(point.compression_ratio),
            f"{point.val_accuracy:.4f}",
            *([format_error(error)] * unsure),
            *(["–" if point.test_accuracy is None else f"{point.test_accuracy:.4f}"] * tested),
            f"{point.accuracy_drop:+.4f}",
            f"{point.sparsity:.4f}",
            f"{recipe_line(point.parameters, names)} round={point.round}".strip(),
        ]
        for number, (point, error) in enumerate(zip(front, errors, strict=True), start=1)
    ]
    return f"<div>{picture_html([], front)}{_table(heads, rows)}<p>{_text(repr(front))}</p></div>"


def point_html(point: OperatingPoint) -> str:
    """A point's figures and its recipe."""
    made = f"round {point.round}" if point.trial is None else f"trial {point.trial}, round {point.round}"
    tested = [] if point.test_accuracy is None else [["test", f"{point.test_accuracy:.4f}"]]
    rows = [
        ["file", f"{point.size_bytes:,} bytes ({format_ratio(point.compression_ratio)})"],
        ["validation", f"{point.val_accuracy:.4f} (drop {point.accuracy_drop:+.4f})"],
        *tested,
        ["sparsity", f"{point.sparsity:.4f}"],
        ["made by", f"{made}, in {format_duration(point.seconds)}"],
        *([["path", str(point.path)]] if point.path is not None else []),
        *([name, format_cell(value)] for name, value in sorted(point.parameters.items())),
    ]
    return _table(["", ""], rows)


def picture_html(points: Sequence[OperatingPoint], front: Front) -> str:
    """The report's picture of a front as SVG; nothing where matplotlib is not installed."""
    with contextlib.suppress(RdsearchError):
        drawn = picture_bytes(front_picture(points, front), ".svg").decode()
        # A white ground, since letters and lines are dark in any theme.
        return f'<div style="max-width: 640px; background: white">{drawn[drawn.index("<svg") :]}</div>'
    return ""


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(text: str) -> str:
    return html.escape(printable(text))
