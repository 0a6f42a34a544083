"""The report in a real browser: what a hover says, what a click chooses, and what fits on a screen."""

from __future__ import annotations

import csv
import io
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest

from rdsearch.points.references import Reference
from rdsearch.report.page import write_report
from rdsearch.report.summary import SearchSummary

Summarize = Callable[..., SearchSummary]
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

needs_browser = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")
pytestmark = needs_browser

# Where the points of the front are on the screen, in pixels of the window.
PLACES = """
const plot = document.getElementById("front-plot"), box = plot.getBoundingClientRect();
const index = plot.data.findIndex((trace) => trace.name === "front (validation)");
const x = plot._fullLayout.xaxis, y = plot._fullLayout.yaxis;
return plot.calcdata[index].map((point) => [box.x + x._offset + x.c2p(point.x), box.y + y._offset + y.c2p(point.y)]);
"""
HOVERED = "return [...document.querySelectorAll('.hoverlayer .hovertext')].map((one) => one.textContent)"
WIDER = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
CARD = "return document.querySelector('#card h3').textContent"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(flag)
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield found
    finally:
        found.quit()


def move_to(browser: Any, x: float, y: float) -> None:
    browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x, "y": y})
    time.sleep(0.15)


def opened(browser: Any, page: Path | str, width: int) -> Any:
    # Chrome has no window narrower than 500 pixels of its own accord.
    metrics = {"width": width, "height": 2000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page if isinstance(page, str) else page.as_uri())
    return browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_wider_than_the_screen_and_no_script_fails(
    browser: Any, summarize: Summarize, tmp_path: Path, width: int, scheme: str
) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    page = opened(browser, write_report(tmp_path, summarize(tested=True, folder=tmp_path)), width)
    assert page.execute_script(WIDER) <= 0
    table = "const t = document.getElementById('front-table'); return t.scrollWidth - t.parentElement.clientWidth"
    assert page.execute_script(table) <= 0
    assert [line for line in page.get_log("browser") if line["level"] == "SEVERE"] == []


def test_hovering_names_every_point_of_the_front(browser: Any, summarize: Summarize, tmp_path: Path) -> None:
    summary = summarize()
    page = opened(browser, write_report(tmp_path, summary), 1280)
    places = page.execute_script(PLACES)
    assert len(places) == len(summary.front)
    named = []
    for x, y in places:
        move_to(page, x, y)
        named += [text for text in page.execute_script(HOVERED) if text.startswith("#")]
    # Points that lie within a few pixels of each other share a place.
    assert len(set(named)) >= 0.8 * len(places)


def test_a_narrow_screen_says_it_in_the_panel_and_not_over_the_plot(
    browser: Any, summarize: Summarize, tmp_path: Path
) -> None:
    page = opened(browser, write_report(tmp_path, summarize()), 400)
    for x, y in page.execute_script(PLACES)[:3]:
        move_to(page, x, y)
        assert page.execute_script(HOVERED) == []


def test_the_slider_and_the_table_choose_a_file(browser: Any, summarize: Summarize, tmp_path: Path) -> None:
    summary = summarize()
    page = opened(browser, write_report(tmp_path, summary), 1280)
    allowed = summary.front[2].accuracy_drop + 1e-6
    page.execute_script(
        "const s = document.getElementById('drop'); s.step = 'any'; s.value = arguments[0];"
        "s.dispatchEvent(new Event('input'))",
        allowed,
    )
    expected = summary.front.pick(max_drop=allowed)
    number = list(summary.front).index(expected) + 1
    assert page.execute_script(CARD) == f"#{number}: {expected.size_bytes:,} bytes"
    assert f"#{number}" in page.execute_script("return document.getElementById('drop-text').textContent")
    page.execute_script("document.querySelectorAll('#front-table tbody tr')[0].click()")
    assert page.execute_script(CARD).startswith("#1:")
    # The panel's trial is drawn, all of its rounds.
    drawn = page.execute_script(
        "return document.getElementById('front-plot').data.find((t) => t.name === 'rounds of the trial').x.length"
    )
    assert drawn == sum(point.trial == summary.front[0].trial for point in summary.points)


def test_the_table_sorts_by_numbers_both_ways(browser: Any, summarize: Summarize, tmp_path: Path) -> None:
    page = opened(browser, write_report(tmp_path, summarize()), 1280)
    column = (
        "return [...document.querySelectorAll('#front-table tbody tr')].map((row) => Number(row.cells[1].dataset.v))"
    )
    press = "document.querySelectorAll('#front-table th button')[1].click()"
    page.execute_script(press)
    rising = page.execute_script(column)
    page.execute_script(press)
    assert page.execute_script(column) == sorted(rising, reverse=True) != rising


def test_a_page_of_twenty_thousand_points_is_there_in_seconds(
    browser: Any, summarize: Summarize, tmp_path: Path
) -> None:
    many = [replace(point, trial=trial) for trial in range(170) for point in summarize().points]
    path = write_report(tmp_path, summarize(points=many))
    assert path.stat().st_size < 8_000_000
    started = time.perf_counter()
    page = opened(browser, path, 1280)
    assert page.execute_script("return document.querySelectorAll('#front-plot .scatterlayer .point').length") > 100
    assert "WebGL" not in page.execute_script("return document.body.innerText")
    assert time.perf_counter() - started < 30  # a second or two where nothing else runs


@pytest.mark.parametrize("width", [1280, 400])
def test_sizes_are_marked_whatever_is_shown_and_no_label_covers_another(
    browser: Any, summarize: Summarize, tmp_path: Path, width: int
) -> None:
    page = opened(browser, write_report(tmp_path, summarize()), width)
    labels = """
      return [...document.querySelectorAll('#front-plot .xtick text')].map((one) => {
        const box = one.getBoundingClientRect(); return [box.left, box.right, one.textContent]; });
    """
    for low, high in ((500, 1_000_000), (1200, 1900)):
        page.execute_script(
            "Plotly.relayout(plot, {'xaxis.range': [Math.log10(arguments[0]), Math.log10(arguments[1])]})", low, high
        )
        time.sleep(0.3)
        shown = sorted(page.execute_script(labels))
        assert len(shown) >= 2
        assert all(before[1] < after[0] for before, after in pairwise(shown))
    assert all(text.endswith(" kB") for _, _, text in shown)


@pytest.mark.parametrize("width", [1280, 400])
def test_names_of_published_points_do_not_lie_on_each_other(
    browser: Any, summarize: Summarize, tmp_path: Path, width: int
) -> None:
    sizes = (2000, 2050, 2100, 20_000)
    references = [Reference(f"Somebody's method {size}", size, 0.97, "") for size in sizes]
    page = opened(browser, write_report(tmp_path, summarize(references=references)), width)
    boxes = page.execute_script("""
      return [...document.querySelectorAll('#front-plot .textpoint text')]
        .filter((one) => one.textContent.startsWith('Somebody') && getComputedStyle(one).fillOpacity !== "0")
        .map((one) => one.getBoundingClientRect()).map((box) => [box.left, box.right, box.top + 2, box.bottom - 2]);
    """)
    assert len(boxes) >= (3 if width > 1000 else 1)
    for one, other in combinations(boxes, 2):
        assert one[1] <= other[0] or other[1] <= one[0] or one[3] <= other[2] or other[3] <= one[2]


def test_the_table_is_saved_with_what_a_narrow_screen_hides(browser: Any, summarize: Summarize, tmp_path: Path) -> None:
    summary = summarize()
    page = opened(browser, write_report(tmp_path, summary), 400)
    text = page.execute_async_script("""
      const done = arguments[0], make = URL.createObjectURL;
      URL.createObjectURL = (blob) => { blob.text().then(done); return make(blob); };
      document.querySelector('button[data-csv]').click();
    """)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["bytes"]) for row in rows] == [point.size_bytes for point in summary.front]
    assert [row["pruning.method"] for row in rows] == [point.parameters["pruning.method"] for point in summary.front]
