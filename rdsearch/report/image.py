"""``front.png``: the front as a picture, by matplotlib."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

from rdsearch.base.files import write_atomically
from rdsearch.base.units import format_size
from rdsearch.errors import RdsearchError
from rdsearch.points.front import Front
from rdsearch.points.point import OperatingPoint
from rdsearch.report.axes import BASELINE_COLOR, FRONT_COLOR, POINT_COLOR, TEST_COLOR, size_ticks, tick_label, view


def front_png(points: Sequence[OperatingPoint], front: Front, path: Path, *, title: str | None = None) -> None:
    """Draw what :func:`rdsearch.report.figure.front_figure` shows as a picture of 1 280 × 800 pixels.

    Args:
        points: Every operating point; those without a finite accuracy are left out.
        front: The front, with the dense baseline.
        path: The PNG to write, whole or not at all.
        title: A line above the plot.

    Raises:
        RdsearchError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import NullLocator
    except ImportError as error:
        raise RdsearchError(
            "front.png needs matplotlib, which is not installed: `pip install 'rdsearch[figures]'`; "
            "the HTML report shows the same plot without it."
        ) from error
    figure = Figure(figsize=(8, 5), dpi=160, layout="constrained")
    axes = FigureCanvasAgg(figure).figure.add_subplot()
    shown = [point for point in points if math.isfinite(point.val_accuracy)]
    axes.scatter(
        [point.size_bytes for point in shown],
        [point.val_accuracy for point in shown],
        s=10,
        color=POINT_COLOR,
        alpha=0.35,
        linewidths=0,
        label="all points",
    )
    axes.step(
        [point.size_bytes for point in front],
        [point.val_accuracy for point in front],
        where="post",
        marker="o",
        markersize=4.5,
        color=FRONT_COLOR,
        label="front (validation)",
    )
    unsure = [(point, spread) for point in front if (spread := front.error(point)) is not None]
    if unsure:
        axes.errorbar(
            [point.size_bytes for point, _ in unsure],
            [point.val_accuracy for point, _ in unsure],
            yerr=[spread for _, spread in unsure],
            fmt="none",
            ecolor=FRONT_COLOR,
            elinewidth=0.8,
            capsize=2,
            label="± standard error",
        )
    tested = [(point.size_bytes, point.test_accuracy) for point in front if point.test_accuracy is not None]
    if tested:
        axes.scatter(
            [size for size, _ in tested],
            [accuracy for _, accuracy in tested],
            s=26,
            marker="D",
            facecolors="none",
            edgecolors=TEST_COLOR,
            label="front (test)",
            zorder=3,
        )
    dense = f"dense network, {format_size(front.baseline_size_bytes)}"
    axes.axhline(front.baseline_accuracy, color=BASELINE_COLOR, linestyle="--", linewidth=1.2, label=dense)
    (low, high), accuracies = view(shown, front)
    ticks = size_ticks(low, high)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(*accuracies)
    axes.set_xticks(ticks, [tick_label(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("file size")
    axes.set_ylabel("accuracy")
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    if title is not None:
        # A dollar sign would start mathematics.
        axes.set_title(title.replace("$", r"\$"), loc="left", fontsize=11)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    write_atomically(path, drawn.getvalue())
