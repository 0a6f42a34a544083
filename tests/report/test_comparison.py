"""Several searches and published points: on one split, on one scale, in every form."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from rdsearch.errors import RdsearchError, SearchError
from rdsearch.points.front import Front
from rdsearch.points.point import OperatingPoint
from rdsearch.points.references import Reference
from rdsearch.report.comparison import Comparison, Contender, compare
from rdsearch.report.comparison_page import comparison_figure, render_comparison
from rdsearch.report.exports import EXPORTS, csv_text, escaped, exported, latex_text
from rdsearch.report.placing import spread
from rdsearch.report.summary import SearchSummary

Summarize = Callable[..., SearchSummary]
PUBLISHED = [Reference("EPR <b>", 8_560, 0.981, "Oktay & al. 2020"), Reference("none so good", 99, 0.9999)]


def two(summarize: Summarize, *, tested: tuple[bool, bool] = (True, True)) -> Comparison:
    fronts = [summarize(tested=done).front for done in tested]
    coarse = Front(list(fronts[1])[::2], baseline_accuracy=0.984, baseline_size_bytes=1_066_440)
    return compare([Contender(name="a_1", front=fronts[0]), Contender(name="b", front=coarse)], PUBLISHED)


def test_the_test_split_is_compared_only_where_every_file_has_been_tested(summarize: Summarize) -> None:
    assert two(summarize).split == "test"
    assert two(summarize).notes() == []
    half = two(summarize, tested=(True, False))
    assert half.split == "validation"
    assert "run `rdsearch test`" in half.notes()[0]
    point = half.contenders[0].front[0]
    assert half.accuracy(point) == point.val_accuracy != point.test_accuracy == two(summarize).accuracy(point)


def test_what_makes_a_comparison_uneven_is_said(summarize: Summarize) -> None:
    front = summarize().front
    other = Front(front, baseline_accuracy=0.9, baseline_size_bytes=2_000_000)
    both = compare([Contender(name="a", front=front, scored_on="x"), Contender(name="b", front=other, scored_on="y")])
    assert both.notes() == [
        "The searches were not scored on the same validation examples.",
        "The dense networks differ in size.",
    ]


def test_shares_are_of_the_smallest_and_the_most_accurate_of_all() -> None:
    def front(*figures: tuple[int, float]) -> Front:
        points = [OperatingPoint(size, accuracy, 0, 1, 0, 1, 1, 1) for size, accuracy in figures]
        return Front(points, baseline_accuracy=0.9, baseline_size_bytes=1024)

    # The ideal: 16 bytes, 6 octaves below the dense network, at 0.9, of which 0.5 are worth nothing.
    found = compare(
        [
            Contender(name="small", front=front((16, 0.7)), reference_accuracy=0.5),
            Contender(name="good", front=front((256, 0.9)), reference_accuracy=0.6),
            Contender(name="both", front=front((16, 0.7), (256, 0.9)), reference_accuracy=0.5),
            Contender(name="none", front=front(), reference_accuracy=0.5),
        ]
    ).shares()
    assert found == pytest.approx([6 * 0.2 / 2.4, 2 * 0.4 / 2.4, (6 * 0.2 + 2 * 0.2) / 2.4, 0])


def test_a_published_point_is_matched_by_the_smallest_file_that_is_as_accurate(summarize: Summarize) -> None:
    both = two(summarize)
    found = both.matching(both.contenders[0], PUBLISHED[0])
    assert found == min(
        (point for point in both.contenders[0].front if (point.test_accuracy or 0) >= 0.981),
        key=lambda point: point.size_bytes,
    )
    assert both.matching(both.contenders[0], PUBLISHED[1]) is None


def test_searches_are_told_apart(summarize: Summarize) -> None:
    front = summarize().front
    with pytest.raises(SearchError, match="two searches are called 'a'"):
        compare([Contender(name="a", front=front)] * 2)
    with pytest.raises(SearchError, match="give at most 6"):
        compare([Contender(name=str(number), front=front) for number in range(7)])
    colors = [trace.line.color for trace in comparison_figure(two(summarize)).data[:2]]
    assert len(set(colors)) == 2


def test_the_page_shows_text_as_text(summarize: Summarize) -> None:
    page = render_comparison(two(summarize))
    assert "EPR &lt;b&gt;" in page
    assert "EPR <b>" not in page
    assert "a_1 and b" in page


@pytest.mark.parametrize("suffix", EXPORTS)
def test_every_form_can_be_made_of_one_search_and_of_several_and_is_the_same_again(
    summarize: Summarize, suffix: str
) -> None:
    pytest.importorskip("matplotlib")
    summary = summarize(tested=True)
    alone = compare([Contender(name="a", front=summary.front)], PUBLISHED)
    for comparison, points in ((alone, summary.points), (two(summarize), ())):
        assert exported(comparison, suffix, points) == exported(comparison, suffix, points)


def test_what_a_report_cannot_be_is_refused(summarize: Summarize) -> None:
    with pytest.raises(RdsearchError, match=r"cannot be a \.docx: give \.html"):
        exported(two(summarize), ".docx")


def test_letters_stay_letters_in_vector_pictures(summarize: Summarize) -> None:
    pytest.importorskip("matplotlib")
    drawn = exported(two(summarize), ".svg")
    assert isinstance(drawn, bytes)
    assert "none so good" in drawn.decode()
    assert "a_1" in drawn.decode()


def test_the_csv_has_a_row_for_every_file_and_every_published_point(summarize: Summarize) -> None:
    both = two(summarize)
    rows = list(csv.DictReader(io.StringIO(csv_text(both))))
    assert len(rows) == sum(len(one.front) for one in both.contenders) + 2
    first = both.contenders[0].front[0]
    assert (rows[0]["name"], int(rows[0]["size_bytes"])) == ("a_1", first.size_bytes)
    assert float(rows[0]["test_accuracy"]) == first.test_accuracy
    published = [rows[-2][column] for column in ("val_accuracy", "test_accuracy", "source")]
    assert published == ["", "0.981", "Oktay & al. 2020"]


def test_the_latex_table_has_six_columns_and_no_commands_of_a_user(summarize: Summarize) -> None:
    text = latex_text(two(summarize))
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert all(len(re.findall(r"(?<!\\)&", row)) == 5 for row in rows)
    assert r"a\_1 & dense & 1\,066\,440" in text
    assert r"EPR <b>, Oktay \& al. 2020" in text
    assert escaped(r"\input{x}^$%") == r"\textbackslash{}input\{x\}\textasciicircum{}\$\%"


@pytest.mark.parametrize(
    ("heights", "expected"),
    [([0.0, 5.0], [0.0, 5.0]), ([4.0, 4.0], [3.5, 4.5]), ([1.0, 1.2, 1.4, 9.0], [0.2, 1.2, 2.2, 9.0])],
)
def test_labels_move_as_little_as_keeps_them_apart(heights: list[float], expected: list[float]) -> None:
    assert spread(heights, 1.0, 10.0) == pytest.approx(expected)


def test_labels_stay_below_the_top() -> None:
    assert spread([9.8, 9.9, 10.0], 1.0, 10.0) == pytest.approx([8.0, 9.0, 10.0])


def test_a_search_that_found_nothing_can_be_compared(summarize: Summarize) -> None:
    empty = Front([], baseline_accuracy=0.9, baseline_size_bytes=10_000)
    both = compare([Contender(name="none", front=empty), Contender(name="some", front=summarize().front)])
    assert both.shares()[0] == 0
    for suffix in EXPORTS:
        assert exported(both, suffix)
    nothing = compare([Contender(name="none", front=empty)])
    assert all(exported(nothing, suffix) for suffix in EXPORTS)


def test_points_of_one_search_do_not_hide_that_it_found_nothing(summarize: Summarize) -> None:
    pytest.importorskip("matplotlib")
    empty = Front([], baseline_accuracy=0.9, baseline_size_bytes=10_000)
    points = [replace(point, val_accuracy=0.5) for point in summarize().points[:3]]
    assert exported(compare([Contender(name="none", front=empty)]), ".png", points)
