"""``report.html``: one page about a search that needs nothing beside it and asks nothing of a network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from rdsearch.base.files import write_atomically
from rdsearch.base.terminal import printable
from rdsearch.base.units import standard_error
from rdsearch.errors import SearchError
from rdsearch.points.front import Front, hypervolume
from rdsearch.points.point import OperatingPoint
from rdsearch.report.axes import view
from rdsearch.report.cards import file_link, point_cards
from rdsearch.report.exploration import history_figure, parameter_figure
from rdsearch.report.figure import front_figure
from rdsearch.report.labels import short_names, varying
from rdsearch.report.summary import SearchSummary
from rdsearch.report.templating import rendered, script_text

REPORT_NAME = "report.html"

# Drops that the table of choices answers for.
_DROPS = (0.0, 0.005, 0.01, 0.02, 0.05)
# Where the slider for the drop stands at first, where any file loses so little.
_USUAL_DROP = 0.01
# Drops at whose level the plot's view can be cut.
_ZOOM_DROPS = (0.05, 0.02, 0.01)

# More small plots than this are no longer looked at.
_MOST_PARAMETERS = 12
# More columns of parameters than this do not fit beside the figures; the recipes hold them all.
_MOST_COLUMNS = 5


@dataclass(frozen=True, slots=True)
class _Choice:
    """A rule for choosing a point, and the number that the chosen one has on the front."""

    rule: str
    option: str
    number: int
    point: OperatingPoint


def write_report(directory: Path, summary: SearchSummary) -> Path:
    """Write ``report.html`` into ``directory``, whole or not at all.

    Plots, styles and scripts are inside the page, and its content security policy forbids every request.
    Files under ``directory`` are linked, so that the folder can be moved as one.

    Args:
        directory: The search's folder, which exists.
        summary: What the search found.

    Returns:
        The page's path.

    Raises:
        SearchError: ``directory`` does not exist.
    """
    if not directory.is_dir():
        raise SearchError(f"there is no folder {directory}: give the folder of a search that has run.")
    page = directory / REPORT_NAME
    write_atomically(page, render_report(summary, directory))
    return page


def render_report(summary: SearchSummary, directory: Path, *, live: int | None = None, status: str = "") -> str:
    """The page as text; see :func:`write_report`.

    Args:
        summary: What the search found.
        directory: Where the page lies, or what is served with it.
        live: See `rdsearch.report.templating.rendered`.
        status: How far the search is, for a live page.
    """
    figures = _figures(summary)
    front = summary.front
    return rendered(
        "report.html.j2",
        summary.name,
        figures,
        live=live,
        status=status,
        summary=summary,
        front=front,
        parameters=[name for name in figures if name.startswith("parameter-")],
        columns=_columns(summary),
        short=short_names(varying(front)),
        choices=_choices(summary),
        importances=_importances(summary),
        views=_views(summary),
        files=[file_link(point, directory) for point in front],
        tested=any(point.test_accuracy is not None for point in front),
        hypervolume=front.hypervolume(reference_accuracy=summary.reference_accuracy),
        share=_share_of_ideal(summary, front),
        heuristic_share=_heuristic_share(summary),
        cards=script_text(point_cards(summary, directory)),
        most_drop=_most_drop(front),
        usual_drop=max(_USUAL_DROP, front[-1].accuracy_drop) if front else 0.0,
        baseline_error=_baseline_error(summary),
        manifest=list(_flatten(summary.manifest)),
    )


def _figures(summary: SearchSummary) -> dict[str, go.Figure]:
    """The figures by the id of the element that holds them."""
    front = summary.front
    searched = varying(summary.points)[:_MOST_PARAMETERS] if front else []
    return {
        "front-plot": front_figure(summary.points, front, summary.references),
        "history-plot": history_figure(
            summary.points,
            reference_size=front.baseline_size_bytes,
            reference_accuracy=summary.reference_accuracy,
            ideal=_ideal(summary),
            heuristics=_heuristic_share(summary),
        ),
        **{f"parameter-{index}": parameter_figure(name, summary.points, front) for index, name in enumerate(searched)},
    }


def _columns(summary: SearchSummary) -> list[str]:
    """The parameters that have a column in the table: of those that the front's points differ in, what matters most."""
    names = varying(summary.front)
    shares = summary.importances.get("front", {})
    return sorted(names, key=lambda name: -shares.get(name, 0.0))[:_MOST_COLUMNS]


def _views(summary: SearchSummary) -> list[tuple[str, float, float]]:
    """Views of the front plot, each a label with the lowest and highest accuracy that it shows."""
    _, (low, high) = view(summary.points, [summary.front], summary.references)
    baseline = summary.front.baseline_accuracy
    near = [drop for drop in _ZOOM_DROPS if baseline - low > 1.25 * drop]
    return [("whole front", low, high), *((f"drop ≤ {drop:g}", baseline - drop, high) for drop in near)]


def _ideal(summary: SearchSummary) -> float:
    """The hypervolume of one file as small as the front's smallest and as accurate as its most accurate."""
    front = summary.front
    if not front:
        return 0.0
    octaves = math.log2(front.baseline_size_bytes / front[0].size_bytes)
    return octaves * (front[-1].val_accuracy - summary.reference_accuracy)


def _share_of_ideal(summary: SearchSummary, points: Iterable[OperatingPoint]) -> float | None:
    """The hypervolume of points over the ideal; ``None`` where there is none."""
    ideal, size = _ideal(summary), summary.front.baseline_size_bytes
    if ideal <= 0:
        return None
    return hypervolume(points, reference_size=size, reference_accuracy=summary.reference_accuracy) / ideal


def _heuristic_share(summary: SearchSummary) -> float | None:
    """The share that the heuristics would have reached without a search; ``None`` where none or nothing else ran."""
    tried = {point.trial for point in summary.points}
    if not summary.heuristic_trials or tried <= set(summary.heuristic_trials):
        return None
    return _share_of_ideal(summary, (point for point in summary.points if point.trial in summary.heuristic_trials))


def _most_drop(front: Front) -> float:
    """Where the slider for the drop ends: what the smallest file loses, in whole tenths of a point."""
    return math.ceil(1000 * max(0.001, front[0].accuracy_drop)) / 1000 if front else 0.0


def _choices(summary: SearchSummary) -> list[_Choice]:
    """The usual questions put to the front, each with its answer where there is one."""
    front = summary.front
    if not front:
        return []
    answers: list[tuple[str, str, OperatingPoint]] = []
    for drop in _DROPS:
        # What fits a tighter drop and is the answer to a looser one too is told once.
        if front[-1].accuracy_drop <= drop and (chosen := front.pick(max_drop=drop)) not in [
            one for *_, one in answers
        ]:
            answers.append((f"smallest with a drop of at most {drop:g}", f"--max-drop {drop:g}", chosen))
    answers.append(("knee of the front", "--knee", front.knee()))
    if summary.n_validation and 0 <= front[-1].val_accuracy <= 1:
        smallest = front.within_standard_error(summary.n_validation)
        answers.append(("smallest within a standard error of the best", "--standard-error", smallest))
    return [_Choice(rule, option, front.index(point) + 1, point) for rule, option, point in answers]


def _importances(summary: SearchSummary) -> list[tuple[str, list[float]]]:
    """Rows of the table of importances: a parameter, and its share under each heading, the front's largest first."""
    columns = list(summary.importances.values())
    return [(name, [shares.get(name, 0.0) for shares in columns]) for name in columns[0]] if columns else []


def _baseline_error(summary: SearchSummary) -> float | None:
    accuracy = summary.front.baseline_accuracy
    if not summary.n_validation or not 0 <= accuracy <= 1:
        return None
    return standard_error(accuracy, summary.n_validation)


def _flatten(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested mappings and sequences, under dotted names."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        yield name, ", ".join(printable(str(item)) for item in value)
    else:
        yield name, printable(str(value)) if value is not None else "–"
