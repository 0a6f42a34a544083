"""``comparison.html``: one page about several searches and published points."""

from __future__ import annotations

import html
from dataclasses import dataclass

import plotly.graph_objects as go

from rdsearch.base.terminal import printable
from rdsearch.points.front import Front
from rdsearch.points.point import OperatingPoint
from rdsearch.points.references import Reference
from rdsearch.report.axes import with_room
from rdsearch.report.comparison import COLORS, Comparison
from rdsearch.report.figure import add_references, set_axes
from rdsearch.report.layout import base_layout
from rdsearch.report.table import format_ratio
from rdsearch.report.templating import rendered

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross")
_DROPS = (0.0, 0.005, 0.01, 0.02, 0.05)


@dataclass(frozen=True, slots=True)
class _Match:
    """A published point, and for each search its smallest file that is as accurate."""

    reference: Reference
    points: list[OperatingPoint | None]


def render_comparison(comparison: Comparison) -> str:
    """The page as text: the plot, sizes by what may be lost, sizes by what was published."""
    searches = comparison.contenders
    drops = [(drop, [_smallest(one.front, drop) for one in searches]) for drop in _DROPS]
    return rendered(
        "comparison.html.j2",
        " and ".join(printable(one.name) for one in searches),
        {"front-plot": comparison_figure(comparison)},
        comparison=comparison,
        searches=list(zip(searches, comparison.shares(), COLORS, strict=False)),
        drops=[(drop, points) for drop, points in drops if any(points)],
        matches=[_Match(one, [comparison.matching(by, one) for by in searches]) for one in comparison.references],
    )


def comparison_figure(comparison: Comparison) -> go.Figure:
    """The fronts on the comparison's split: as steps on the validation part, as they come on the test split."""
    figure = go.Figure(layout=base_layout(f"{comparison.split} accuracy"))
    heights = [one.accuracy for one in comparison.references]
    sizes = [one.size_bytes for one in comparison.references]
    for one, color, symbol in zip(comparison.contenders, COLORS, _SYMBOLS, strict=False):
        found = [(point.size_bytes, comparison.accuracy(point)) for point in one.front]
        sizes += [size for size, _ in found]
        heights += [height for _, height in found]
        figure.add_trace(
            go.Scatter(
                x=[size for size, _ in found],
                y=[height for _, height in found],
                text=[
                    f"{size:,} bytes ({format_ratio(point.compression_ratio)}), {height:.4f}"
                    for (size, height), point in zip(found, one.front, strict=True)
                ],
                mode="lines+markers",
                name=html.escape(printable(one.name), quote=False),
                line={"color": color, "width": 2, "shape": "hv" if comparison.split == "validation" else "linear"},
                marker={"color": color, "size": 8, "symbol": symbol},
                hovertemplate="%{text}<extra>%{fullData.name}</extra>",
            )
        )
        if comparison.split == "validation":
            heights.append(one.front.baseline_accuracy)
            figure.add_hline(y=one.front.baseline_accuracy, line={"color": color, "width": 1, "dash": "dash"})
    shown, accuracies = with_room(sizes, heights or [0.0, 1.0])
    add_references(figure, comparison.references, shown)
    set_axes(figure, shown, accuracies)
    return figure


def _smallest(front: Front, drop: float) -> OperatingPoint | None:
    """The smallest file within a drop, where there is one."""
    return front.pick(max_drop=drop) if len(front) and front[-1].accuracy_drop <= drop else None
