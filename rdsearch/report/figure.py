"""The front as an interactive figure, by plotly."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import plotly.graph_objects as go

from rdsearch.base.terminal import printable
from rdsearch.base.units import format_size
from rdsearch.points.front import Front
from rdsearch.points.point import OperatingPoint
from rdsearch.points.references import Reference
from rdsearch.report.axes import (
    BASELINE_COLOR,
    FRONT_COLOR,
    POINT_COLOR,
    REFERENCE_COLOR,
    TEST_COLOR,
    TRIAL_COLOR,
    faintness,
    size_ticks,
    tick_label,
    view,
)
from rdsearch.report.labels import recipe_line, varying
from rdsearch.report.layout import base_layout
from rdsearch.report.table import format_ratio
from rdsearch.report.visible import visible

MANY = 2000
"""Of more points than this, those that lie on each other are drawn once; they say their figures, not their recipes."""


def front_figure(points: Sequence[OperatingPoint], front: Front, references: Sequence[Reference] = ()) -> go.Figure:
    """Size against accuracy: every point faintly, the front as a step line, the dense baseline dashed.

    The size axis is logarithmic, in bytes. Test accuracies are shown for the points that have them. Hovering
    over a point gives its figures and its recipe. The view opens on the front; points below it are a
    double click away.

    Args:
        points: Every operating point; those without a finite accuracy are left out.
        front: The front, with the dense baseline.
        references: Published points.
    """
    shown = [point for point in points if math.isfinite(point.val_accuracy)]
    names = varying([*shown, *front])
    # What a front's point covers would take its place under the pointer.
    members = {_place(point) for point in front}
    others = [point for point in shown if _place(point) not in members]
    figure = go.Figure(layout=base_layout("accuracy"))
    sizes, accuracies = view(shown, [front], references)
    many = len(others) > MANY
    drawn = visible(others, sizes, accuracies) if many else others
    figure.add_trace(
        go.Scatter(
            x=[point.size_bytes for point in drawn],
            y=[point.val_accuracy for point in drawn],
            text=None if many else [_hover(point, names) for point in drawn],
            customdata=[(point.trial, point.round) for point in drawn] if many else None,
            mode="markers",
            name=f"points, {len(drawn):,} of {len(others):,} drawn" if many else "all points",
            marker={"color": POINT_COLOR, "size": 5, "opacity": faintness(len(drawn))},
            hovertemplate=_MANY_HOVER if many else "%{text}<extra></extra>",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[],
            y=[],
            text=[],
            textposition="bottom right",
            textfont={"size": 11, "color": TRIAL_COLOR},
            mode="lines+markers+text",
            name="rounds of the trial",
            line={"color": TRIAL_COLOR, "width": 2, "dash": "dot"},
            marker={"color": TRIAL_COLOR, "size": 7, "symbol": "circle-open", "line": {"width": 2}},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[point.size_bytes for point in front],
            y=[point.val_accuracy for point in front],
            error_y={
                "array": [front.error(point) for point in front],
                "color": FRONT_COLOR,
                "thickness": 1,
                "width": 2,
            },
            text=[_hover(point, names, number) for number, point in enumerate(front, start=1)],
            mode="lines+markers",
            name="front (validation)",
            line={"color": FRONT_COLOR, "width": 2, "shape": "hv"},
            marker={"color": FRONT_COLOR, "size": 8},
            hovertemplate="%{text}<extra></extra>",
        )
    )
    _add_tests(figure, front, names)
    _add_baseline(figure, front)
    add_references(figure, references, sizes)
    set_axes(figure, sizes, accuracies)
    return figure


def set_axes(figure: go.Figure, sizes: tuple[float, float], accuracies: tuple[float, float]) -> None:
    """Sizes on a log axis with their units, accuracies with as many digits as their ticks need."""
    low, high = sizes
    ticks = size_ticks(low, high)
    figure.update_xaxes(
        type="log",
        title="file size",
        range=[math.log10(low), math.log10(high)],
        tickvals=ticks,
        ticktext=[tick_label(tick) for tick in ticks],
        tickangle=0,
    )
    figure.update_yaxes(
        range=list(accuracies),
        tickformatstops=[
            {"dtickrange": [None, 0.000999], "value": ".4f"},
            {"dtickrange": [0.000999, 0.00999], "value": ".3f"},
            {"dtickrange": [0.00999, None], "value": ".2f"},
        ],
    )


def add_references(figure: go.Figure, references: Sequence[Reference], sizes: tuple[float, float]) -> None:
    """Published points, each with its name beside it, in a plot of sizes between these."""
    if not references:
        return
    middle = math.sqrt(sizes[0] * sizes[1])
    figure.add_trace(
        go.Scatter(
            x=[one.size_bytes for one in references],
            y=[one.accuracy for one in references],
            text=[html.escape(printable(one.name), quote=False) for one in references],
            customdata=[html.escape(printable(one.source), quote=False) for one in references],
            mode="markers+text",
            name="published",
            # Not beyond the right edge; the page's script moves those that would lie on each other.
            textposition=[f"middle {'left' if one.size_bytes > middle else 'right'}" for one in references],
            textfont={"size": 12},
            marker={
                "color": REFERENCE_COLOR,
                "size": 8,
                "symbol": "x-thin",
                "line": {"color": REFERENCE_COLOR, "width": 2},
            },
            hovertemplate="<b>%{text}</b><br>%{x:,} bytes<br>accuracy %{y:.4f}<br>%{customdata}<extra></extra>",
            cliponaxis=False,
        )
    )


_MANY_HOVER = "%{x:,} bytes<br>validation %{y:.4f}<br>trial %{customdata[0]}, round %{customdata[1]}<extra></extra>"


def _place(point: OperatingPoint) -> tuple[object, ...]:
    return point.trial, point.round, point.size_bytes, point.val_accuracy


def _add_tests(figure: go.Figure, front: Front, names: Sequence[str]) -> None:
    tested = [(number, point) for number, point in enumerate(front, start=1) if point.test_accuracy is not None]
    if tested:
        figure.add_trace(
            go.Scatter(
                x=[point.size_bytes for _, point in tested],
                y=[point.test_accuracy for _, point in tested],
                text=[_hover(point, names, number) for number, point in tested],
                mode="markers",
                name="front (test)",
                marker={"color": TEST_COLOR, "size": 8, "symbol": "diamond-open", "line": {"width": 1.5}},
                hovertemplate="%{text}<extra></extra>",
            )
        )


def _add_baseline(figure: go.Figure, front: Front) -> None:
    figure.add_hline(
        y=front.baseline_accuracy,
        line={"color": BASELINE_COLOR, "width": 1.5, "dash": "dash"},
        # Beside the plot: a label on the line would lie over the points, which are there.
        name=f"dense: {front.baseline_accuracy:.4f}, {format_size(front.baseline_size_bytes)}",
        showlegend=True,
    )


def _hover(point: OperatingPoint, names: Sequence[str], number: int | None = None) -> str:
    head = [] if number is None else [f"<b>#{number}</b>"]
    where = f"round {point.round}" if point.trial is None else f"trial {point.trial}, round {point.round}"
    tested = "" if point.test_accuracy is None else f", test {point.test_accuracy:.4f}"
    recipe = html.escape(recipe_line(point.parameters, names), quote=False)
    return "<br>".join(
        [
            *head,
            f"{point.size_bytes:,} bytes ({format_ratio(point.compression_ratio)})",
            f"validation {point.val_accuracy:.4f} (drop {point.accuracy_drop:+.4f}){tested}",
            f"sparsity {point.sparsity:.4f}, {where}",
            *([recipe] if recipe else []),
        ]
    )
