"""Commands that show what a search has found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import click

from rdsearch.base.terminal import make_console, say
from rdsearch.cli import completion
from rdsearch.cli.output import ask_for_trust, bounds, echo, trust, warn
from rdsearch.errors import RdsearchError

if TYPE_CHECKING:
    from rdsearch.search.outcome.results import Results

Form = Literal["table", "csv", "json"]


@click.command()
@click.argument("directory", shell_complete=completion.folders)
@bounds
@click.option(
    "--confidence",
    type=click.FloatRange(min=0.5, max=1, max_open=True),
    help="Keep --max-drop with this probability, such as 0.95, by the standard errors.",
)
@click.option("--estimated", is_flag=True, help="By accuracies that all points together suggest; less lucky ones.")
@click.option("--knee", is_flag=True, help="The point where the front bends.")
@click.option("--standard-error", is_flag=True, help="The smallest file within a standard error of the best accuracy.")
@click.option(
    "--quality-layers", is_flag=True, help="Every quality layer of the front's files, scored on the validation part."
)
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@trust
def front(
    directory: str,
    max_drop: float | None,
    max_bytes: str | None,
    confidence: float | None,
    estimated: bool,
    knee: bool,
    standard_error: bool,
    quality_layers: bool,
    form: Form,
    trust: bool,
) -> None:
    """Show the front of a search, or the one point that fits."""
    from rdsearch.base.units import parse_size
    from rdsearch.report.search import importance_lines
    from rdsearch.report.table import front_table, front_text
    from rdsearch.search.outcome.results import misses_text, read_results

    limits = max_drop is not None or max_bytes is not None
    if knee + standard_error + limits + quality_layers > 1:
        raise click.UsageError(
            "give only one of --knee, --standard-error, --quality-layers, and limits (--max-drop, --max-bytes)"
        )
    if confidence is not None and max_drop is None:
        raise click.UsageError("--confidence is about --max-drop: give both")
    results = read_results(directory)
    _warn(results)
    if not len(results.front):
        raise RdsearchError(misses_text(results))
    if quality_layers:
        ask_for_trust(results.folder, trust)
        _show_quality_layers(results, form)
        return
    if estimated:
        from rdsearch.search.outcome.estimated import estimated_front

        results = replace(results, front=estimated_front(results))
        if not len(results.front):
            raise RdsearchError("no point keeps the constraints by its estimated accuracy: run more trials")
    chosen = results.front.knee() if knee else None
    if standard_error:
        chosen = results.front.within_standard_error()
    if limits:
        size = parse_size(max_bytes) if max_bytes is not None else None
        chosen = results.front.pick(max_drop=max_drop, max_bytes=size, confidence=confidence)
    if form != "table":
        click.echo(front_text(results.front, form, chosen=chosen), nl=False)
        return
    caption = "\n".join([results.score_note, *importance_lines(results)])
    make_console().print(front_table(results.front, chosen=chosen, caption=caption))
    if chosen is not None:
        echo(chosen.path)


def _show_quality_layers(results: Results, form: Form) -> None:
    from rdsearch.report.progressive import progressive_table, progressive_text
    from rdsearch.search.outcome.progressive import progressive_points

    points = progressive_points(results)
    if form != "table":
        click.echo(progressive_text(points, form), nl=False)
        return
    make_console().print(progressive_table(points, caption=results.score_note))
    if all(point.quality_layers == 1 for point in points):
        echo("No file on the front has quality layers: search with recipe.quantization.quality_layers above 1.")


@click.command()
@click.argument("directory", shell_complete=completion.folders)
@trust
def test(directory: str, trust: bool) -> None:
    """Score the front's files on the test split, once.

    The scores are kept in the search's folder: no file is scored there twice.
    """
    from rdsearch.report.search import write_pictures
    from rdsearch.report.table import front_table
    from rdsearch.search.outcome.results import read_results, write_results
    from rdsearch.search.outcome.testsplit import BASELINE, read_test_split

    before = read_results(directory)
    ask_for_trust(before.folder, trust)
    read = read_test_split(before, say=echo)
    results = read_results(directory)
    write_results(results)
    write_pictures(results)
    console = make_console()
    console.print(front_table(results.front, caption=results.score_note))
    say(console, f"Dense network: test accuracy {results.folder.read_tests()[BASELINE]:.4f}")
    if not read:
        say(console, "These figures were on record; the test split was not read again.")


def _warn(results: Results) -> None:
    for line in results.damaged:
        warn(line)
