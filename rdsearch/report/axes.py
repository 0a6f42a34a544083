"""What the figures share: colours, ticks of the size axis, and the corners of the front's step line."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rdsearch.base.units import format_size
from rdsearch.points.front import Front
from rdsearch.points.point import OperatingPoint
from rdsearch.points.references import Reference

# Okabe and Ito (2008), "Color universal design": told apart under every common colour blindness, and each has
# enough contrast on white and on near-black.
FRONT_COLOR = "#0072B2"
TEST_COLOR = "#D55E00"
POINT_COLOR = "#8C8C8C"
BASELINE_COLOR = "#009E73"
TRIAL_COLOR = "#CC79A7"
REFERENCE_COLOR = "#6E6E6E"  # readable on both

_MOST_TICKS = 9
_FEWEST_TICKS = 3
_FEW_POINTS = 300
_DECADE_STEPS = ((1, 2, 5), (1, 3), (1,))


def log_ticks(low: float, high: float, *, most: int = _MOST_TICKS) -> list[float]:
    """Values to mark on a log axis: 1, 2 and 5 in each decade, fewer where those are more than ``most``."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for steps in _DECADE_STEPS:
        # Read from text, so that 2e-3 is the 0.002 that a person writes.
        ticks = [float(f"{step}e{decade}") for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= most:
            break
    return ticks


def size_ticks(low: float, high: float) -> list[int]:
    """Sizes in bytes to mark on a log axis from ``low`` to ``high``.

    They are those of :func:`log_ticks`, or evenly spaced round numbers where the span is too narrow.
    """
    ticks = [round(tick) for tick in log_ticks(max(low, 1), high)]
    return ticks if len(ticks) >= _FEWEST_TICKS else _even_ticks(low, high)


def _even_ticks(low: float, high: float) -> list[int]:
    rough = (high - low) / 5
    magnitude = 10 ** math.floor(math.log10(max(rough, 1)))
    step = next(int(factor * magnitude) for factor in (1, 2, 5, 10) if factor * magnitude >= rough)
    return list(range(math.ceil(low / step) * step, math.floor(high) + 1, step))


def tick_label(size_bytes: int) -> str:
    """A tick's size with no digit to spare: ``500 B``, ``2 kB``, ``1.5 MB``."""
    number, unit = format_size(size_bytes).split(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"


def faintness(count: int) -> float:
    """Opacity of so many points behind a front: few are drawn more strongly."""
    return 0.35 if count > _FEW_POINTS else 0.7


def view(
    points: Sequence[OperatingPoint], fronts: Sequence[Front], references: Sequence[Reference] = ()
) -> tuple[tuple[float, float], tuple[float, float]]:
    """What part of the plane to show: fronts, their test accuracies and baselines, published points, what is so high.

    Returns:
        Lowest and highest size in bytes, lowest and highest accuracy, each with a little room.
    """
    members = [point for front in fronts for point in front]
    heights = [front.baseline_accuracy for front in fronts]
    heights += [point.val_accuracy for point in members]
    heights += [point.test_accuracy for point in members if point.test_accuracy is not None]
    heights += [reference.accuracy for reference in references]
    _, (low, high) = with_room([], heights)
    sizes = [point.size_bytes for point in [*points, *members] if low <= point.val_accuracy <= high]
    return with_room([*sizes, *(reference.size_bytes for reference in references)], heights)


def with_room(sizes: Sequence[float], heights: Sequence[float]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ranges of sizes and of accuracies, each with a little room."""
    low, high = min(heights), max(heights)
    room = max((high - low) * 0.08, 0.002)
    smallest, largest = min(sizes, default=1_000), max(sizes, default=1_000_000)
    factor = max((largest / smallest) ** 0.04, 1.02)
    return (smallest / factor, largest * factor), (low - room, high + room)


def ratio_ticks(low: float, high: float, dense: int) -> list[float]:
    """Compression ratios to mark for sizes from ``low`` to ``high`` of a dense network of so many bytes."""
    return log_ticks(dense / high, dense / low)
