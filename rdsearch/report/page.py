"""``report.html``: one page about a search that needs nothing beside it and asks nothing of a network."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from rdsearch.base.files import write_atomically
from rdsearch.base.terminal import printable
from rdsearch.base.units import format_duration, format_size, standard_error
from rdsearch.errors import SearchError
from rdsearch.points.front import Front
from rdsearch.points.point import OperatingPoint
from rdsearch.points.scalars import format_cell
from rdsearch.report.axes import view
from rdsearch.report.cards import file_link, point_cards
from rdsearch.report.exploration import history_figure, parameter_figure
from rdsearch.report.figure import front_figure
from rdsearch.report.labels import format_value, short_names, varying
from rdsearch.report.summary import SearchSummary
from rdsearch.report.table import format_ratio

REPORT_NAME = "report.html"

# Drops that the table of choices answers for.
_DROPS = (0.0, 0.005, 0.01, 0.02, 0.05)
# Where the slider for the drop stands at first, where any file loses so little.
_USUAL_DROP = 0.01
# Drops at whose level the plot's view can be cut.
_ZOOM_DROPS = (0.05, 0.02, 0.01)

# More small plots than this are no longer looked at.
_MOST_PARAMETERS = 12


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


def render_report(summary: SearchSummary, directory: Path) -> str:
    """The page as text; see :func:`write_report`."""
    figures = _figures(summary)
    front = summary.front
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            summary=summary,
            front=front,
            plotly=Markup(get_plotlyjs()),  # noqa: S704 - the library's own source
            figures={name: Markup(_script_json(figure)) for name, figure in figures.items()},  # noqa: S704 - escaped
            parameters=[name for name in figures if name.startswith("parameter-")],
            columns=varying(front),
            short=short_names(varying(front)),
            choices=_choices(summary),
            importances=_importances(summary),
            views=_views(summary),
            files=[file_link(point, directory) for point in front],
            tested=any(point.test_accuracy is not None for point in front),
            hypervolume=front.hypervolume(reference_accuracy=summary.reference_accuracy),
            share=_share_of_ideal(summary),
            cards=Markup(_script_text(point_cards(summary, directory))),  # noqa: S704 - escaped
            most_drop=_most_drop(front),
            usual_drop=max(_USUAL_DROP, front[-1].accuracy_drop) if front else 0.0,
            baseline_error=_baseline_error(summary),
            manifest=list(_flatten(summary.manifest)),
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("rdsearch.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        size=format_size,
        bytes=lambda value: f"{value:,}",
        ratio=format_ratio,
        duration=format_duration,
        accuracy=lambda value: "–" if value is None else f"{value:.4f}",
        drop=lambda value: f"{value:+.4f}".replace("-", "−"),
        cell=format_cell,
        value=format_value,
        printable=printable,
    )
    return environment


def _figures(summary: SearchSummary) -> dict[str, go.Figure]:
    """The figures by the id of the element that holds them."""
    front = summary.front
    searched = varying(summary.points)[:_MOST_PARAMETERS] if front else []
    return {
        "front-plot": front_figure(summary.points, front),
        "history-plot": history_figure(
            summary.points,
            reference_size=front.baseline_size_bytes,
            reference_accuracy=summary.reference_accuracy,
        ),
        **{f"parameter-{index}": parameter_figure(name, summary.points, front) for index, name in enumerate(searched)},
    }


def _views(summary: SearchSummary) -> list[tuple[str, float, float]]:
    """Views of the front plot, each a label with the lowest and highest accuracy that it shows."""
    _, (low, high) = view(summary.points, summary.front)
    baseline = summary.front.baseline_accuracy
    near = [drop for drop in _ZOOM_DROPS if baseline - low > 1.25 * drop]
    return [("whole front", low, high), *((f"drop ≤ {drop:g}", baseline - drop, high) for drop in near)]


def _script_json(figure: go.Figure) -> str:
    """The figure as JSON that cannot end the script element it stands in."""
    return _harmless(str(figure.to_json()))


def _script_text(value: Any) -> str:
    """Plain data as JSON that cannot end the script element it stands in."""
    return _harmless(json.dumps(value, separators=(",", ":"), allow_nan=False))


def _harmless(text: str) -> str:
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _share_of_ideal(summary: SearchSummary) -> float | None:
    """The front's hypervolume over that of one file as small as its smallest and as accurate as its most accurate."""
    front = summary.front
    if not front:
        return None
    ideal = math.log2(front.baseline_size_bytes / front[0].size_bytes) * (
        front[-1].val_accuracy - summary.reference_accuracy
    )
    return front.hypervolume(reference_accuracy=summary.reference_accuracy) / ideal if ideal > 0 else None


def _most_drop(front: Front) -> float:
    """Where the slider for the drop ends: what the smallest file loses, in whole tenths of a point."""
    return math.ceil(1000 * max(0.001, front[0].accuracy_drop)) / 1000 if front else 0.0


def _choices(summary: SearchSummary) -> list[_Choice]:
    """The usual questions put to the front, each with its answer where there is one."""
    front = summary.front
    if not front:
        return []
    answers = [
        (f"smallest with a drop of at most {drop:g}", f"--max-drop {drop:g}", front.pick(max_drop=drop))
        for drop in _DROPS
        if front[-1].accuracy_drop <= drop
    ]
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
