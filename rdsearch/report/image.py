"""Fronts as pictures for papers and pages, by matplotlib: PNG, SVG and PDF."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdsearch.base.files import write_atomically
from rdsearch.base.units import format_size
from rdsearch.errors import RdsearchError
from rdsearch.points.front import Front
from rdsearch.points.point import OperatingPoint
from rdsearch.points.references import Reference
from rdsearch.report.axes import (
    BASELINE_COLOR,
    FRONT_COLOR,
    POINT_COLOR,
    TEST_COLOR,
    faintness,
    ratio_ticks,
    size_ticks,
    tick_label,
    view,
    with_room,
)
from rdsearch.report.comparison import COLORS, MARKERS, Comparison
from rdsearch.report.placing import label_places, label_right_edge

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IMAGE_SUFFIXES = (".png", ".svg", ".pdf")
_INCHES = (6.4, 4.0)
"""The width of a page's text in most journals."""
_DPI = 200
_FONTS = ("Arial", "Helvetica", "Liberation Sans", "Nimbus Sans")
"""The first of these that is installed, for want of which matplotlib's own."""
_STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "axes.edgecolor": "#4D4D4D",
    "xtick.color": "#4D4D4D",
    "ytick.color": "#4D4D4D",
    "axes.labelcolor": "#1A1A1A",
    "pdf.fonttype": 42,  # as letters, which publishers ask for and readers can search
    "svg.fonttype": "none",
    "svg.hashsalt": "rdsearch",
}
_REFERENCE_COLOR = "#333333"


def front_picture(
    points: Sequence[OperatingPoint],
    front: Front,
    *,
    references: Sequence[Reference] = (),
    title: str | None = None,
) -> Figure:
    """The front of one search, in front of every point, with what the test split and other people say.

    Args:
        points: Every operating point; those without a finite accuracy are left out.
        front: The front, with the dense baseline.
        references: Published points, each labelled by its name.
        title: A line above the plot.

    Raises:
        RdsearchError: matplotlib is not installed.
    """
    with _style():
        figure, axes = _axes(title)
        shown = [point for point in points if math.isfinite(point.val_accuracy)]
        sizes, accuracies = [point.size_bytes for point in front], [point.val_accuracy for point in front]
        axes.scatter(
            [point.size_bytes for point in shown],
            [point.val_accuracy for point in shown],
            s=7,
            color=POINT_COLOR,
            alpha=faintness(len(shown)),
            linewidths=0,
        )
        errors = [front.error(point) for point in front]
        known = [error for error in errors if error is not None]
        if known and len(known) == len(errors):
            below = [accuracy - error for accuracy, error in zip(accuracies, known, strict=True)]
            above = [accuracy + error for accuracy, error in zip(accuracies, known, strict=True)]
            axes.fill_between(sizes, below, above, step="post", color=FRONT_COLOR, alpha=0.13, linewidth=0)
        axes.step(sizes, accuracies, where="post", color=FRONT_COLOR, linewidth=1.4)
        axes.plot(sizes, accuracies, "o", color=FRONT_COLOR, markersize=3.6)
        tested = [(point.size_bytes, point.test_accuracy) for point in front if point.test_accuracy is not None]
        axes.axhline(front.baseline_accuracy, color=BASELINE_COLOR, linestyle=(0, (5, 3)), linewidth=1)
        edge = [(front.baseline_accuracy, f"dense, {format_size(front.baseline_size_bytes)}", BASELINE_COLOR)]
        if tested:
            axes.plot(*zip(*tested, strict=True), "D", color=TEST_COLOR, markersize=4, markerfacecolor="none")
            edge.append((tested[-1][1], "test", TEST_COLOR))
        if len(front):
            label = "validation" + (" ± s.e." if known else "")
            edge.append((accuracies[-1], label, FRONT_COLOR))
        _scales(axes, view(shown, [front], references), [front], "accuracy" if tested else "validation accuracy")
        if shown:
            note = axes.text(0.995, 0.015, "grey: every round of every trial", transform=axes.transAxes)
            note.set(ha="right", va="bottom", fontsize=7.5, color="#6E6E6E")
        _label(axes, references, [], edge)
    return figure


def comparison_picture(comparison: Comparison, *, title: str | None = None) -> Figure:
    """The fronts of several searches on one split, and published points, all of them labelled where they are.

    Raises:
        RdsearchError: matplotlib is not installed.
    """
    with _style():
        figure, axes = _axes(title)
        edge, places = [], []
        fronts = [one.front for one in comparison.contenders]
        same = len({(front.baseline_accuracy, front.baseline_size_bytes) for front in fronts}) == 1
        for contender, color, marker in zip(comparison.contenders, COLORS, MARKERS, strict=False):
            sizes = [point.size_bytes for point in contender.front]
            heights = [comparison.accuracy(point) for point in contender.front]
            if comparison.split == "validation":
                axes.step(sizes, heights, where="post", color=color, linewidth=1.4)
            else:
                axes.plot(sizes, heights, color=color, linewidth=0.9, alpha=0.6)
            axes.plot(sizes, heights, marker, color=color, markersize=3.8)
            if heights:
                places.append((sizes[-1], heights[-1], contender.name, color))
            if comparison.split == "validation" and not same:
                axes.axhline(contender.front.baseline_accuracy, color=color, linestyle=(0, (5, 3)), linewidth=0.8)
        if comparison.split == "validation" and same:
            axes.axhline(fronts[0].baseline_accuracy, color="#4D4D4D", linestyle=(0, (5, 3)), linewidth=0.8)
            edge.append(
                (fronts[0].baseline_accuracy, f"dense, {format_size(fronts[0].baseline_size_bytes)}", "#4D4D4D")
            )
        drawn = [(point.size_bytes, comparison.accuracy(point)) for front in fronts for point in front]
        drawn += [(one.size_bytes, one.accuracy) for one in comparison.references]
        heights = [height for _, height in drawn]
        heights += [one.baseline_accuracy for one in fronts if comparison.split == "validation" or not drawn]
        _scales(axes, with_room([size for size, _ in drawn], heights), fronts, f"{comparison.split} accuracy")
        _label(axes, comparison.references, places, edge)
    return figure


def picture_bytes(figure: Figure, suffix: str) -> bytes:
    """A picture in the format of a suffix of `IMAGE_SUFFIXES`; the same picture gives the same bytes."""
    drawn = io.BytesIO()
    # Without the date, which SVG and PDF would hold.
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with _style():
        figure.savefig(drawn, format=suffix.removeprefix("."), dpi=_DPI, metadata=dates.get(suffix))
    return drawn.getvalue()


def front_png(
    points: Sequence[OperatingPoint],
    front: Front,
    path: Path,
    *,
    references: Sequence[Reference] = (),
    title: str | None = None,
) -> None:
    """Write `front_picture` as a PNG of 1 280 × 800 pixels, whole or not at all.

    Raises:
        RdsearchError: matplotlib is not installed.
    """
    figure = front_picture(points, front, references=references, title=title)
    write_atomically(path, picture_bytes(figure, ".png"))


def _style() -> Any:
    try:
        import matplotlib.figure  # noqa: F401 - what the pictures need, looked for here
        from matplotlib import font_manager, rc_context
    except ImportError as error:
        raise RdsearchError(
            "pictures need matplotlib, which is not installed: `pip install 'rdsearch[figures]'`; "
            "the HTML report shows the same plot without it."
        ) from error
    here = set(font_manager.get_font_names())
    family = next((name for name in _FONTS if name in here), "DejaVu Sans")
    settings: Any = {**_STYLE, "font.family": family}
    return rc_context(settings)


def _axes(title: str | None) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, layout="constrained")
    axes = FigureCanvasAgg(figure).figure.add_subplot()
    if title is not None:
        # A dollar sign would start mathematics.
        axes.set_title(title.replace("$", r"\$"), loc="left", fontsize=10)
    return figure, axes


def _scales(
    axes: Axes, shown: tuple[tuple[float, float], tuple[float, float]], fronts: Sequence[Front], quantity: str
) -> None:
    """Sizes with their units below, ratios above where the dense network is one, accuracies on the left."""
    from matplotlib.ticker import NullLocator

    (low, high), accuracies = shown
    ticks = size_ticks(low, high)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(*accuracies)
    axes.set_xticks(ticks, [tick_label(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("file size")
    axes.set_ylabel(quantity)
    axes.grid(color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    dense, *others = sorted({front.baseline_size_bytes for front in fronts})
    if others:
        return
    ratios = ratio_ticks(low, high, dense)
    above = axes.secondary_xaxis("top")
    above.set_xticks([dense / ratio for ratio in ratios], [f"{ratio:,g}×" for ratio in ratios])
    above.xaxis.set_minor_locator(NullLocator())
    above.tick_params(length=0, pad=2)
    above.spines["top"].set_visible(False)
    above.set_xlabel("dense size over file size", loc="left", fontsize=8, color="#4D4D4D")


def _label(
    axes: Axes,
    references: Sequence[Reference],
    places: Sequence[tuple[float, float, str, str]],
    edge: Sequence[tuple[float, str, str]],
) -> None:
    """Published points, and labels where the things are instead of a legend."""
    for reference in references:
        axes.plot(reference.size_bytes, reference.accuracy, "x", color=_REFERENCE_COLOR, markersize=5, zorder=4)
    label_right_edge(axes, edge)
    named = [(one.size_bytes, one.accuracy, one.name, _REFERENCE_COLOR) for one in references]
    label_places(axes, [*places, *named])
