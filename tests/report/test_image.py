from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rdsearch.errors import RdsearchError
from rdsearch.points.front import Front
from rdsearch.report.axes import BASELINE_COLOR, FRONT_COLOR, TEST_COLOR
from rdsearch.report.image import front_png
from rdsearch.report.summary import SearchSummary

Summarize = Callable[..., SearchSummary]


def colors(path: Path) -> set[str]:
    image = pytest.importorskip("matplotlib.image").imread(path)
    assert image.shape[:2] == (800, 1280)
    channels = np.rint(image[..., :3] * 255).astype(np.int64)
    return {f"#{code:06X}" for code in np.unique(channels @ [65536, 256, 1])}


def test_the_picture_shows_the_front_the_baseline_and_the_tests(summarize: Summarize, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for tested in (False, True):
        summary = summarize(tested=tested)
        front_png(summary.points, summary.front, tmp_path / "front.png", title="costs $5 $x_{$ <b>")
        seen = colors(tmp_path / "front.png")
        assert {FRONT_COLOR, BASELINE_COLOR} <= seen
        assert (TEST_COLOR in seen) is tested
    assert [path.name for path in tmp_path.iterdir()] == ["front.png"]


def test_a_front_of_no_or_one_point_can_be_drawn(summarize: Summarize, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    one = summarize().front[0]
    for members in ([], [one]):
        front = Front(members, baseline_accuracy=0.9, baseline_size_bytes=10_000)
        front_png(members, front, tmp_path / "front.png")
        assert BASELINE_COLOR in colors(tmp_path / "front.png")


def test_without_matplotlib_the_remedy_is_named(
    summarize: Summarize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(RdsearchError, match=r"pip install 'rdsearch\[figures\]'"):
        front_png([], summarize().front, tmp_path / "front.png")
    assert list(tmp_path.iterdir()) == []
