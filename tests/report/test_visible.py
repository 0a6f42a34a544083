from __future__ import annotations

import math
import random
from dataclasses import replace

from rdsearch.points.point import OperatingPoint
from rdsearch.report.visible import COLUMNS, ROWS, visible

POINT = OperatingPoint(1000, 0.9, 0.0, 1.0, 0.0, 8.0, 1.0, 1, {})


def spread(count: int) -> list[OperatingPoint]:
    draw = random.Random(0)
    return [
        replace(POINT, size_bytes=round(10 ** draw.uniform(2, 6)), val_accuracy=draw.uniform(0.1, 1.0), trial=trial)
        for trial in range(count)
    ]


def test_no_place_is_left_empty_that_a_point_takes() -> None:
    points = spread(5000)
    drawn = visible(points, (1e3, 1e5), (0.8, 0.9))
    assert [point.trial for point in drawn] == sorted(point.trial for point in drawn)  # type: ignore[type-var]
    width, height = 2 * math.log(10) / COLUMNS, 0.1 / ROWS
    for point in points:
        if 1e3 <= point.size_bytes <= 1e5 and 0.8 <= point.val_accuracy <= 0.9:
            assert any(
                abs(math.log(point.size_bytes / other.size_bytes)) <= width
                and abs(point.val_accuracy - other.val_accuracy) <= height
                for other in drawn
            )
    # Outside of the view the whole plane has as many cells.
    assert len(drawn) < len(points)
    assert {min(points, key=lambda point: point.val_accuracy).trial} <= {point.trial for point in drawn}


def test_however_many_points_there_are_a_page_holds_few() -> None:
    points = spread(60_000)
    assert len(visible(points, (1e2, 1e6), (0.1, 1.0))) <= COLUMNS * ROWS
    assert visible([], (1e2, 1e6), (0.1, 1.0)) == []
    assert visible([POINT, replace(POINT, trial=1)], (1000, 1000), (0.9, 0.9)) == [POINT]
