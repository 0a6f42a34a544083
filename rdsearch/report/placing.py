"""Labels that stand where the things are: at the right edge, or beside their points, none over another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.transforms import Bbox

_LINE = 1.25
"""Distance of two lines of text, in font sizes."""
_EVERY = 4
"""Pixels from one looked-at place of a line to the next."""
# Where a label may stand beside its point: offset in points, horizontal and vertical alignment; the best ones first.
_SIDES = (
    ((5, 0), "left", "center"),
    ((-5, 0), "right", "center"),
    ((0, 5), "center", "bottom"),
    ((0, -5), "center", "top"),
    ((4, 4), "left", "bottom"),
    ((4, -4), "left", "top"),
    ((-4, 4), "right", "bottom"),
    ((-4, -4), "right", "top"),
)


def label_right_edge(axes: Axes, labels: Sequence[tuple[float, str, str]]) -> None:
    """Name lines beside the right edge of the plot, each at its height or as near to it as the others allow.

    Args:
        axes: The plot, its scales set.
        labels: Height in data, text and colour of each.
    """
    if not labels:
        return
    ordered = sorted(labels, key=lambda label: label[0])
    texts = [
        axes.text(
            1.012, height, text.replace("$", r"\$"), color=color, va="center", transform=axes.get_yaxis_transform()
        )
        for height, text, color in ordered
    ]
    figure = _drawn(axes)
    low, high = axes.get_ylim()
    pixels = axes.get_window_extent().height
    apart = _LINE * float(texts[0].get_fontsize()) * figure.dpi / 72 * (high - low) / pixels
    for text, height in zip(texts, spread([height for height, _, _ in ordered], apart, high), strict=True):
        text.set_y(height)


def spread(heights: Sequence[float], apart: float, most: float) -> list[float]:
    """Rising heights moved so little that neighbours are ``apart`` and none is above ``most``.

    Neighbours that are too close form a block around their mean; blocks that meet join.
    """
    blocks: list[list[float]] = []
    for height in heights:
        blocks.append([height])
        while len(blocks) > 1 and _bottom(blocks[-1], apart) - _top(blocks[-2], apart) < apart:
            last = blocks.pop()
            blocks[-1] += last
    found = [_bottom(block, apart) + index * apart for block in blocks for index in range(len(block))]
    for index in range(len(found) - 1, -1, -1):
        found[index] = min(found[index], most - (len(found) - 1 - index) * apart)
    return found


def _bottom(block: Sequence[float], apart: float) -> float:
    return sum(block) / len(block) - (len(block) - 1) * apart / 2


def _top(block: Sequence[float], apart: float) -> float:
    return _bottom(block, apart) + (len(block) - 1) * apart


def label_places(axes: Axes, places: Sequence[tuple[float, float, str, str]]) -> None:
    """Name points beside them, on the side where the least lies.

    Args:
        axes: The plot, with all that labels should keep clear of.
        places: Position in data, text and colour of each; the first ones choose first.
    """
    if not places:
        return
    _drawn(axes)
    frame = axes.get_window_extent()
    drawn = np.concatenate([_pixels(line) for line in axes.lines])
    taken: list[Bbox] = []
    for x, y, text, color in places:
        tried = []
        for number, (offset, across, up) in enumerate(_SIDES):
            label = axes.annotate(
                text.replace("$", r"\$"),
                (x, y),
                xytext=offset,
                textcoords="offset points",
                ha=across,
                va=up,
                fontsize=8,
                color=color,
            )
            box = label.get_window_extent().padded(1)
            outside = not (frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1)
            covered = int(np.sum(np.all((drawn > box.min) & (drawn < box.max), axis=1)))
            cost = 100 * outside + 20 * box.count_overlaps(taken) + covered
            tried.append((cost, number, label, box))
        _, best, _, box = min(tried, key=lambda one: one[:2])
        taken.append(box)
        for _, number, label, _ in tried:
            if number != best:
                label.remove()


def _drawn(axes: Axes) -> Figure:
    """The picture, everything in it at its place."""
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("the plot belongs to no picture")
    figure.draw_without_rendering()
    return figure


def _pixels(line: Line2D) -> np.ndarray:
    """Where a line of markers, or a line, is on the screen, a place every few pixels: float64 (n, 2)."""
    corners = line.get_xydata()
    if line.get_drawstyle() == "steps-post":
        corners = np.repeat(corners, 2, axis=0)[1:]
        corners[1::2, 1] = corners[:-1:2, 1]
    corners = line.get_transform().transform(corners)
    if line.get_linestyle() == "None" or len(corners) < 2:
        return corners
    parts = [np.linspace(start, end, 2 + int(np.hypot(*(end - start)) / _EVERY)) for start, end in pairwise(corners)]
    return np.concatenate(parts)
