"""Commands that run a search."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import click

from rdsearch.base.terminal import make_console
from rdsearch.cli import completion
from rdsearch.cli.output import INTERRUPTED, ask_for_trust, echo, limits, overrides, speaking, trust, voice
from rdsearch.errors import SearchStoppedError

if TYPE_CHECKING:
    from rich.console import Console

    from rdsearch.base.voice import Voice
    from rdsearch.search.api import Run
    from rdsearch.search.run.runner import Limits
    from rdsearch.search.store.folder import SearchFolder
    from rdsearch.tasks.task import Task

_STATUS = {"interrupted": INTERRUPTED, "stopped": SearchStoppedError.exit_code}


@click.command()
@click.argument("space", shell_complete=completion.spaces)
@click.option("--out", help="A new folder, or s3://BUCKET/PREFIX, for the search. [default: results/NAME]")
@click.option("--warm-start", metavar="DIR", help="Try the front of an earlier search first.")
@click.option("--dry-run", is_flag=True, help="Say what the search would take here, and start and write nothing.")
@overrides
@limits
@voice
def search(
    space: str,
    out: str | None,
    warm_start: str | None,
    dry_run: bool,
    overrides: tuple[str, ...],
    trials: int | None,
    time: str | None,
    address: str | None,
    voice: Voice,
) -> None:
    """Run a search. SPACE is a search file, or the name of a ready one (see `rdsearch spaces`)."""
    from rdsearch.search.run.signals import stoppable

    with stoppable(), speaking(voice) as console:
        from rdsearch.search.api import limits_of, start

        until = limits_of(trials, time)
        if dry_run:
            _say_what_it_takes(space, out, overrides, until, address, voice, console)
            return
        folder, task = start(
            space, out=out, overrides=overrides, warm_start=warm_start, address=address, console=console
        )
        _run(folder, until, address, voice, console, task=task, command=shlex.join(["rdsearch", *sys.argv[1:]]))


def _say_what_it_takes(
    space: str,
    out: str | None,
    overrides: tuple[str, ...],
    until: Limits,
    address: str | None,
    voice: Voice,
    console: Console,
) -> None:
    from rdsearch.base.voice import JsonConsole
    from rdsearch.search.api import dry_run
    from rdsearch.search.store.folder import SearchFolder

    if address is not None:
        raise click.UsageError("--dry-run times what a search takes on this machine: leave out --address")
    if out is not None:
        SearchFolder.check_free(out)
    outlook = dry_run(space, overrides=overrides, limits=until, console=console)
    if voice == "json":
        JsonConsole().event("outlook", **outlook.record())
        return
    for line in outlook.lines():
        echo(f"  {line}")
    echo(f"{outlook.summary}, and less where trials end early; nothing was started or written")


@click.command()
@click.argument("directory", shell_complete=completion.folders)
@limits
@voice
@trust
def resume(
    directory: str, trials: int | None, time: str | None, address: str | None, voice: Voice, trust: bool
) -> None:
    """Continue an interrupted search, or add trials to a finished one."""
    from rdsearch.search.run.signals import stoppable

    with stoppable(), speaking(voice) as console:
        from rdsearch.search.api import limits_of
        from rdsearch.search.store.folder import SearchFolder

        folder, until = SearchFolder.open(directory), limits_of(trials, time)
        ask_for_trust(folder, trust)
        _run(folder, until, address, voice, console, task=None, command=None)


def _run(
    folder: SearchFolder,
    until: Limits,
    address: str | None,
    voice: Voice,
    console: Console,
    *,
    task: Task | None,
    command: str | None,
) -> None:
    from rdsearch.search.api import go_on
    from rdsearch.search.run.signals import last_words

    def show(run: Run) -> None:
        _show(run, voice, console)

    run = go_on(folder, until, task=task, address=address, console=console, command=command, farewell=show)
    with last_words():
        failed = _show(run, voice, console)
    if status := _STATUS.get(run.ending, 1 if failed else 0):
        sys.exit(status)


def _show(run: Run, voice: Voice, console: Console) -> bool:
    """What a run has found and how to go on; whether all of its trials failed."""
    from rdsearch.base.voice import JsonConsole, phase
    from rdsearch.report.search import show_end, write_pictures
    from rdsearch.report.table import front_record

    if run.results is not None:
        with phase(console, "writing the report"):
            write_pictures(run.results)
        if voice == "json":
            found = {"folder": run.folder.address, **front_record(run.results.front)}
            JsonConsole().event("end", ending=run.ending, **found)
        else:
            show_end(make_console(), run.results)
    if run.way_on:
        echo(f"Error: {run.way_on}" if run.ending == "stopped" else run.way_on, err=True)
        return False
    reason = None if run.results is None else run.results.why_all_failed
    if reason is not None:
        echo(f"Error: {reason}", err=True)
    return reason is not None
