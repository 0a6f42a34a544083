"""A search's pictures and last words."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from rdsearch.base.terminal import say
from rdsearch.errors import RdsearchError
from rdsearch.points.references import Reference
from rdsearch.report.comparison import Contender
from rdsearch.report.image import front_png
from rdsearch.report.page import write_report
from rdsearch.report.summary import SearchSummary
from rdsearch.report.table import front_table
from rdsearch.search.outcome.importance import importances
from rdsearch.search.outcome.lineage import ancestors, tried_heuristics
from rdsearch.search.outcome.results import Results, misses_text
from rdsearch.search.study.constraints import reference_accuracy

_AIMS = {
    "front": "most important for coming near the front",
    "size_bytes": "for a small file",
    "val_accuracy": "for accuracy",
}
FAILURES_SHOWN = 3
"""Trials whose failure is told at the end; the report has all."""

ONE_POINT = 0.01
"""Of accuracy: the drop that most would ask for first."""


def summarize(results: Results, references: Sequence[Reference] = ()) -> SearchSummary:
    """What the report page needs to know of a search, and the published points to be shown beside it."""
    manifest = results.manifest
    space = results.folder.search_file().space
    return SearchSummary(
        name=manifest["task"],
        points=results.points,
        front=results.front,
        trials_finished=results.finished,
        trials_failed=len(results.failed),
        seconds=manifest.get("seconds", 0.0),
        manifest=manifest,
        command=manifest.get("command"),
        config=results.folder.config.read_text(encoding="utf-8"),
        n_validation=results.n_validation,
        n_trial_validation=results.n_trial_validation,
        reference_accuracy=reference_accuracy(results.front.baseline_accuracy, results.constraints),
        importances=importances(space, results.points, results.constraints),
        ancestors=ancestor_names(results),
        heuristic_trials=frozenset(tried_heuristics(space, results.points)),
        references=references,
    )


def ancestor_names(results: Results) -> list[str]:
    """For each point of the front, the heuristic that it is or lies nearest to; empty where none was tried."""
    space = results.folder.search_file().space
    found = ancestors(space, results.points, list(results.front))
    return [str(ancestor) for ancestor in found if ancestor is not None]


def importance_lines(results: Results, most: int = 3) -> list[str]:
    """What matters for the front and for each objective, a line each: the parameters with the largest shares."""
    found = importances(results.folder.search_file().space, results.points, results.constraints)
    return [
        f"{_AIMS[name]}: " + ", ".join(f"{parameter} {share:.0%}" for parameter, share in list(shares.items())[:most])
        for name, shares in found.items()
    ]


def contender(results: Results, name: str) -> Contender:
    """A search as it enters a comparison under a name."""
    return Contender(
        name=name,
        front=results.front,
        reference_accuracy=reference_accuracy(results.front.baseline_accuracy, results.constraints),
        scored_on=str(results.manifest.get("split_fingerprints", {}).get("validation", "")),
    )


def write_pictures(results: Results, references: Sequence[Reference] = ()) -> None:
    """Write ``report.html``, and ``front.png`` where matplotlib is installed."""
    summary = summarize(results, references)
    write_report(results.folder.path, summary)
    # The picture is also in the page, which needs no extra; `pip install rdsearch[figures]` brings the PNG.
    with contextlib.suppress(RdsearchError):
        front_png(results.points, results.front, results.folder.front_png, references=references, title=summary.name)
    results.folder.push_results()


def show_end(console: Console, results: Results) -> None:
    """The front as a table, where everything lies, and what to type next."""
    folder = results.folder.address if results.folder.mirror else _relative(results.folder.path)
    console.print()
    if len(results.front):
        console.print(front_table(results.front, caption=results.score_note))
    else:
        say(console, misses_text(results))
    for trial, message in list(results.failed.items())[:FAILURES_SHOWN]:
        say(console, f"Trial {trial} failed: {message}", style="yellow")
    console.print()
    for path, what in (
        *([(results.folder.front_files, "the front's files, each with its recipe")] if len(results.front) else []),
        (results.folder.points, "every operating point"),
        (results.folder.report, "the report"),
    ):
        say(console, f"  {_relative(path)}  {what}")
    say(console, "\nNext:")
    for command, what in _next_steps(results, folder):
        say(console, f"  {command}  # {what}")


def _next_steps(results: Results, folder: Path | str) -> list[tuple[str, str]]:
    folder = shlex.quote(str(folder))
    if not results.complete:
        return [(f"rdsearch resume {folder}", "go on where this search stopped")]
    more = results.manifest["target"] * 2
    steps = [(f"rdsearch resume {folder} --trials {more}", f"go on to {more} trials")]
    if not len(results.front):
        return steps
    choice, chosen = _choice(results)
    steps = [
        (f"rdsearch front {folder} {choice}", chosen),
        (f"rdsearch ship {folder} {choice} -o shipped", "that file as a folder for others"),
        *steps,
    ]
    if all(point.test_accuracy is not None for point in results.front):
        return steps
    return [(f"rdsearch test {folder}", "read the test split, once, for the front"), *steps]


def _choice(results: Results) -> tuple[str, str]:
    """The option that chooses a file of a front which has any, and what it chooses."""
    near = results.n_validation is not None and any(point.accuracy_drop <= ONE_POINT for point in results.front)
    if near:
        return f"--max-drop {ONE_POINT:g}", "the smallest file within a drop of one point"
    return "--knee", "the file where the front bends"


def _relative(path: Path) -> Path:
    relative = Path(os.path.relpath(path))
    return path if relative.parts[:1] == ("..",) else relative
