"""How the search went: hypervolume over trials, and where in the search space the front lies."""

from __future__ import annotations

import bisect
import html
import math
from collections.abc import Sequence
from typing import Any, TypeGuard

import plotly.graph_objects as go

from rdsearch.base.terminal import printable
from rdsearch.points.front import Front, hypervolume_history
from rdsearch.points.point import OperatingPoint, Scalar
from rdsearch.report.axes import FRONT_COLOR, POINT_COLOR, faintness, log_ticks
from rdsearch.report.labels import format_value
from rdsearch.report.layout import base_layout

_MOST_TICKS = 5
# Values over a wider range than this were searched on a log scale, or should have been.
_LOG_SPREAD = 10
# More faint points than this hide each other: of so many, every second, third, ... is drawn.
_MOST_FAINT = 2000
_EXCESS_TICKS = (1, 1.1, 1.2, 1.5, 2, 3, 5, 10, 20, 50, 100, 1000)
# Ticks of a log axis stand apart by this share of it at least.
_TICKS_APART = 0.15


def history_figure(
    points: Sequence[OperatingPoint],
    *,
    reference_size: float,
    reference_accuracy: float,
    ideal: float = 0.0,
    heuristics: float | None = None,
) -> go.Figure:
    """Hypervolume of all points of the first trial, the first two, and so on, by trial number.

    Args:
        points: Every operating point.
        reference_size: As for `rdsearch.points.front.hypervolume`.
        reference_accuracy: The same.
        ideal: The hypervolume that is shown as 100 %; bare areas are shown where it is not above 0.
        heuristics: The share of it that the heuristics alone reach, for a line to judge by.
    """
    ordered = sorted(
        (point for point in points if point.trial is not None), key=lambda point: (point.trial, point.round)
    )
    values = hypervolume_history(ordered, reference_size=reference_size, reference_accuracy=reference_accuracy)
    by_trial = {point.trial: value for point, value in zip(ordered, values, strict=True)}
    scale = 1 / ideal if ideal > 0 else 1.0
    figure = go.Figure(layout=base_layout("share of ideal" if ideal > 0 else "hypervolume"))
    figure.add_trace(
        go.Scatter(
            x=list(by_trial),
            y=[scale * value for value in by_trial.values()],
            mode="lines",
            line={"color": FRONT_COLOR, "width": 2, "shape": "hv"},
            hovertemplate=f"after trial %{{x}}: %{{y:{'.1%' if ideal > 0 else '.4g'}}}<extra></extra>",
        )
    )
    if heuristics is not None:
        figure.add_hline(
            y=heuristics,
            line={"color": POINT_COLOR, "width": 1.5, "dash": "dash"},
            annotation={"text": "heuristics alone", "font": {"size": 12}},
            annotation_position="bottom right",
        )
    figure.update_xaxes(title="trial")
    figure.update_yaxes(rangemode="tozero", tickformat=".0%" if ideal > 0 else None)
    figure.update_layout(showlegend=False, height=300, margin_t=12)
    return figure


def parameter_figure(name: str, points: Sequence[OperatingPoint], front: Front) -> go.Figure:
    """One searched parameter against how far each point is from the front.

    The vertical axis is :func:`excess_size`, so the front lies at 1. A front crowded at an end of a
    parameter's range says that the range should be wider.
    """
    having = [
        (point, excess)
        for point in points
        if name in point.parameters and (excess := excess_size(point, front)) is not None
    ]
    figure = go.Figure(layout=base_layout("size over the front's"))
    members = {(point.trial, point.round) for point in front}
    for on_front, color, size in ((False, POINT_COLOR, 5), (True, FRONT_COLOR, 8)):
        chosen = [pair for pair in having if ((pair[0].trial, pair[0].round) in members) is on_front]
        chosen = chosen[:: 1 + len(chosen) // _MOST_FAINT]
        opacity = 1.0 if on_front else faintness(len(chosen))
        figure.add_trace(
            go.Scatter(
                x=[_axis_value(point.parameters[name]) for point, _ in chosen],
                y=[excess for _, excess in chosen],
                mode="markers",
                marker={"color": color, "size": size, "opacity": opacity},
                hovertemplate="%{x}: %{y:.2f}× the front's size<extra></extra>",
            )
        )
    values = [point.parameters[name] for point, _ in having]
    figure.update_xaxes(title=html.escape(printable(name), quote=False), title_font_size=12, **_axis(values))
    ticks = _excess_ticks(max((excess for _, excess in having), default=1.0))
    figure.update_yaxes(type="log", title_font_size=12, tickvals=ticks, ticktext=[f"{tick:g}×" for tick in ticks])
    figure.update_layout(showlegend=False, height=240, margin={"l": 52, "r": 12, "t": 12, "b": 44})
    return figure


def _excess_ticks(highest: float) -> list[float]:
    """Values to mark on a log axis from 1 to the highest, which do not crowd."""
    ticks: list[float] = [1]
    for tick in _EXCESS_TICKS:
        if tick <= highest and math.log(tick / ticks[-1]) > _TICKS_APART * math.log(highest):
            ticks.append(tick)
    return ticks


def excess_size(point: OperatingPoint, front: Front) -> float | None:
    """The point's size over that of the smallest front file at least as accurate.

    ``None`` for a point that is more, or less, accurate than all of the front.
    """
    if not front or not front[0].val_accuracy <= point.val_accuracy <= front[-1].val_accuracy:
        return None
    match = bisect.bisect_left(front, point.val_accuracy, key=lambda member: member.val_accuracy)
    return point.size_bytes / front[match].size_bytes


def _axis_value(value: Scalar) -> float | str:
    return value if _is_number(value) else html.escape(format_value(value), quote=False)


def _axis(values: Sequence[Scalar]) -> dict[str, Any]:
    """Kind and ticks of an axis that holds these values."""
    numbers = [value for value in values if _is_number(value)]
    if len(numbers) < len(values) or not numbers:
        return {"type": "category"}
    low, high = min(numbers), max(numbers)
    if low > 0 and high / low >= _LOG_SPREAD and any(isinstance(number, float) for number in numbers):
        ticks = log_ticks(low / 1.1, high * 1.1, most=_MOST_TICKS)
        return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
    return {"type": "linear", "nticks": 6}


def _is_number(value: Scalar) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
