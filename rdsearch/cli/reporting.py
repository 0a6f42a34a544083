"""The command that shows what one search has found, or several beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rdsearch.cli import completion
from rdsearch.cli.output import echo, warn

if TYPE_CHECKING:
    from rdsearch.points.references import Reference
    from rdsearch.report.comparison import Comparison
    from rdsearch.search.outcome.results import Results


@click.command()
@click.argument("directories", nargs=-1, required=True, metavar="DIR...", shell_complete=completion.folders)
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    metavar="CSV",
    help="Published points to show as well: a table with the columns name, size_bytes, accuracy and source.",
)
@click.option(
    "-o",
    "--output",
    "outputs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Write this instead: .html, .png, .svg, .pdf, .csv or .tex; may be given several times.",
)
def report(directories: tuple[str, ...], reference: Path | None, outputs: tuple[Path, ...]) -> None:
    """Write a search as one HTML page, or compare several.

    The page is self-contained. For one search, report.html and front.png are written into its folder; for several, one
    plot of all of them, into comparison.html in this folder.
    """
    from rdsearch.base.files import write_atomically
    from rdsearch.points.references import read_references
    from rdsearch.report.exports import EXPORTS, exported
    from rdsearch.report.search import write_pictures
    from rdsearch.search.outcome.results import read_results, write_results

    for output in outputs:
        if output.suffix not in EXPORTS:
            raise click.UsageError(f"--output {output}: a report is a file that ends in {', '.join(EXPORTS)}")
        if not output.absolute().parent.is_dir():
            raise click.UsageError(f"--output {output}: there is no folder {output.absolute().parent}")
    references = read_references(reference) if reference is not None else []
    found = [read_results(directory) for directory in directories]
    for results in found:
        for line in results.damaged:
            warn(line)
    if len(found) == 1 and not outputs:
        write_results(found[0])
        write_pictures(found[0], references)
        echo(found[0].folder.report)
        return
    comparison = _compared(directories, found, references)
    for note in comparison.notes():
        warn(note)
    points = found[0].points if len(found) == 1 else ()
    for output in outputs or (Path("comparison.html"),):
        if len(found) == 1 and output.suffix == ".html":
            write_atomically(output, _page(found[0], references, output))
        else:
            write_atomically(output, exported(comparison, output.suffix, points))
        echo(output)


def _page(results: Results, references: list[Reference], output: Path) -> str:
    from rdsearch.report.page import render_report
    from rdsearch.report.search import summarize

    return render_report(summarize(results, references), output.absolute().parent)


def _compared(directories: tuple[str, ...], found: list[Results], references: list[Reference]) -> Comparison:
    """The searches under the names of their folders, or as they were given where those are the same."""
    from rdsearch.report.comparison import compare
    from rdsearch.report.search import contender

    names = [directory.rstrip("/").rpartition("/")[2] for directory in directories]
    if len(set(names)) < len(names):
        names = list(directories)
    return compare([contender(results, name) for results, name in zip(found, names, strict=True)], references)
