from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rdsearch.errors import SearchError
from rdsearch.points.point import OperatingPoint
from rdsearch.report.page import write_report
from rdsearch.report.summary import SearchSummary

Summarize = Callable[..., SearchSummary]
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}"
VOID = {"meta", "link", "img", "br", "input", "hr"}


class Page(HTMLParser):
    """Elements, texts and attributes of a page, and a check that its tags nest."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.texts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.scripts if self.open and self.open[-1] == "script" else self.texts).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page(summary: SearchSummary, folder: Path) -> Page:
    found = Page(write_report(folder, summary))
    assert found.open == []
    return found


def test_the_report_lies_in_the_folder_alone(summarize: Summarize, tmp_path: Path) -> None:
    assert write_report(tmp_path, summarize()) == tmp_path / "report.html"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_missing_folder_is_named(summarize: Summarize, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="there is no folder"):
        write_report(tmp_path / "absent", summarize())


def test_nothing_is_loaded_from_anywhere(summarize: Summarize, tmp_path: Path) -> None:
    found = page(summarize(tested=True, folder=tmp_path), tmp_path)
    for tag, attributes in found.elements:
        assert "src" not in attributes, tag
        assert tag not in {"link", "iframe", "object", "embed", "base", "img"}
        address = attributes.get("href")
        assert address is None or re.fullmatch(r"#point-\d+|front/\d\d\.rdz", address)
    (policy,) = [one["content"] for one in found.named("meta") if one.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert not re.search(r"https?:|\*", policy)
    style = (tmp_path / "report.html").read_text().split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_every_point_of_the_front_is_there_with_its_figures_recipe_and_file(
    summarize: Summarize, tmp_path: Path
) -> None:
    summary = summarize(tested=True, folder=tmp_path)
    found = page(summary, tmp_path)
    ids = [attributes.get("id") for attributes in found.named("details")]
    for number, point in enumerate(summary.front, start=1):
        assert f"point-{number}" in ids
        assert f"{point.size_bytes:,}" in found.text
        assert f"{point.test_accuracy:.4f}" in found.text
        assert repr(point.parameters["quantization.step"]) in found.text
        assert f"front/{number:02d}.rdz" in found.text
    assert "quantization.dead_zone 0.5" in found.text


def test_the_head_sums_up_the_search(summarize: Summarize, tmp_path: Path) -> None:
    found = page(summarize(), tmp_path)
    for words in (
        "lenet300 on mnist",
        "Trials 11 + 1 failed",
        "Operating points 121",
        "Wall time 1 h 31 min",
        "rdsearch search space.yaml --trials 12",
        "versions.torch 2.14.0",
        "hardware.gpu –",
        "network: lenet300",
        "The dense network has 0.9840 in 1.07 MB",
        # sqrt(0.984 * 0.016 / 5000)
        "a standard error of 0.0018",
    ):
        assert words in found.text, words


def test_validation_and_test_are_told_apart(summarize: Summarize, tmp_path: Path) -> None:
    assert "The test split has not been read" in page(summarize(), tmp_path).text
    tested = page(summarize(tested=True), tmp_path).text
    assert "accuracy was read after the search" in tested
    assert "has not been read" not in tested


def test_the_choices_are_what_the_front_picks(summarize: Summarize, tmp_path: Path) -> None:
    summary = summarize()
    front = summary.front
    text = page(summary, tmp_path).text
    chosen = front.pick(max_drop=0.01)
    words = f"smallest with a drop of at most 0.01 {front.index(chosen) + 1} {chosen.size_bytes:,}"
    assert words in text
    assert f"knee of the front {front.index(front.knee()) + 1} " in text


def test_a_drop_that_no_point_keeps_is_no_choice(
    points: list[OperatingPoint], summarize: Summarize, tmp_path: Path
) -> None:
    worse = [replace(point, accuracy_drop=point.accuracy_drop + 0.007) for point in points]
    text = page(summarize(points=worse), tmp_path).text
    assert "drop of at most 0.005" not in text
    assert "drop of at most 0.01" in text


def test_the_plots_have_a_place_and_their_data(summarize: Summarize, tmp_path: Path) -> None:
    found = page(summarize(), tmp_path)
    places = [one["id"] for one in found.named("div") if one.get("class") == "plot"]
    assert places == ["front-plot", "history-plot", *(f"parameter-{index}" for index in range(4))]
    library, figures = found.scripts
    assert "plotly.js" in library[:200]
    blocks = re.findall(r'^"([a-z0-9-]+)": (\{.*\}),$', figures, flags=re.MULTILINE)
    assert [name for name, _ in blocks] == places
    for _, block in blocks:
        assert json.loads(block)["data"]
        assert "<" not in block


def test_hostile_strings_stay_text(points: list[OperatingPoint], summarize: Summarize, tmp_path: Path) -> None:
    poisoned = [
        replace(point, parameters={**point.parameters, "a." + HOSTILE: f"{HOSTILE}{point.trial}"}) for point in points
    ]
    changes = {"name": HOSTILE, "command": HOSTILE, "config": HOSTILE, "manifest": {HOSTILE: [HOSTILE]}}
    clean = page(summarize(), tmp_path)
    found = page(summarize(points=poisoned, folder=tmp_path / HOSTILE, **changes), tmp_path)
    assert len(found.named("script")) == len(clean.named("script")) == 2
    assert found.named("img") == []
    assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes)
    assert not any("alert" in (attributes.get("href") or "").lower().split("%")[0] for _, attributes in found.elements)
    assert "49" not in {word for text in found.texts for word in text.split() if "7*7" in text}
    assert found.text.count(HOSTILE) >= 5


def test_a_file_outside_the_folder_is_named_and_not_linked(summarize: Summarize, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    found = page(summarize(folder=tmp_path / "there"), tmp_path / "here")
    assert str(tmp_path / "there" / "front" / "01.rdz") in found.text
    assert not any("rdz" in (one["href"] or "") for one in found.named("a"))


def test_a_file_name_cannot_become_another_address(summarize: Summarize, tmp_path: Path) -> None:
    summary = summarize()
    odd = [replace(point, path=tmp_path / "javascript:alert(1)?#") for point in summary.front]
    found = page(summarize(points=odd, folder=None), tmp_path)
    assert not any("rdz" in (one["href"] or "") for one in found.named("a"))
    kept = summarize()
    for point in kept.front:
        object.__setattr__(point, "path", tmp_path / "javascript:alert(1)?#")
    links = {one["href"] for one in page(kept, tmp_path).named("a") if "download" in one}
    assert links == {"javascript%3Aalert%281%29%3F%23"}


@pytest.mark.parametrize("given", ["nothing", "unusable"])
def test_a_search_that_found_nothing_has_a_report(
    points: list[OperatingPoint], summarize: Summarize, tmp_path: Path, given: str
) -> None:
    chosen = [] if given == "nothing" else [replace(point, val_accuracy=float("nan")) for point in points]
    text = page(summarize(points=chosen, n_validation=None, command=None, config=None, manifest={}), tmp_path).text
    assert "No point is on the front yet" in text
    assert "Which file?" not in text


def test_a_front_of_one_point_and_points_without_trial_or_parameters(
    points: list[OperatingPoint], summarize: Summarize, tmp_path: Path
) -> None:
    bare = replace(points[0], trial=None, parameters={})
    text = page(summarize(points=[bare]), tmp_path).text
    assert "1 file on the front" in text
    assert "trial None" not in text


def test_mixed_parameters_have_a_row_each(points: list[OperatingPoint], summarize: Summarize, tmp_path: Path) -> None:
    mixed = [
        replace(point, parameters={"a.x": index} if index % 2 else {"a.y": None, "a.z": index % 4 == 0})
        for index, point in enumerate(points)
    ]
    found = page(summarize(points=mixed), tmp_path)
    assert "a.x" in found.text
    assert "a.y null" in found.text


def test_the_same_search_makes_the_same_page(summarize: Summarize, tmp_path: Path) -> None:
    first = write_report(tmp_path, summarize()).read_bytes()
    assert write_report(tmp_path, summarize()).read_bytes() == first
