"""What commands say, and the options that several have."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rdsearch.base.terminal import lines
from rdsearch.base.units import parse_share

if TYPE_CHECKING:
    from rich.console import Console

    from rdsearch.base.voice import Voice
    from rdsearch.search.store.folder import SearchFolder

F = TypeVar("F", bound=Callable[..., Any])

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def echo(text: object, *, err: bool = False) -> None:
    """A line, or several; nothing in it steers a terminal."""
    click.echo(lines(text), err=err)


def warn(text: object) -> None:
    """What does not stop a command, on standard error."""
    click.secho(f"Warning: {lines(text)}", err=True, fg="yellow")


def share(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """The value of an option that takes a share of 1, or a percentage."""
    return None if value is None else parse_share(value)


def bounds(function: F) -> F:
    """The options that say what a file may lose, or take."""
    size = click.option("--max-bytes", metavar="SIZE", help="The most accurate file of at most this size, such as 20k.")
    drop = click.option(
        "--max-drop",
        callback=share,
        metavar="SHARE",
        help="The smallest file with at most this accuracy drop: 0.01, or 1%.",
    )
    return drop(size(function))


def limits(function: F) -> F:
    """The options that end a run of a search."""
    for option in (
        click.option(
            "--trials", type=click.IntRange(min=1), help="Total number of trials, including those already run."
        ),
        click.option("--time", metavar="DURATION", help="Stop after this wall time, such as 90m or 2h."),
        click.option("--address", metavar="ADDRESS", help="A Ray cluster's address; 'auto' for the one running here."),
    ):
        function = option(function)
    return function


def voice(function: F) -> F:
    """The options that say how a run speaks; at most one of them."""
    for option in (
        click.option("--quiet", "voice", flag_value="quiet", help="Print nothing before the end."),
        click.option(
            "--verbose", "voice", flag_value="verbose", help="Show all of search.log: each round, and Ray's lines."
        ),
        click.option("--json", "voice", flag_value="json", help="Print lines of JSON, for other programs."),
        click.option("--text", "voice", flag_value="text", default="text", hidden=True),
    ):
        function = option(function)
    return function


@contextlib.contextmanager
def speaking(voice: Voice) -> Iterator[Console]:
    """The console for a voice, on which the libraries that take seconds to load are loaded.

    What a verbose one shows beside what is said is what stands in the log alone.
    """
    from rdsearch.base.voice import console_of, phase

    console = console_of(voice)
    with phase(console, "loading torch, Ray and Optuna"):
        importlib.import_module("rdsearch.search.api")
    from rdsearch.search.run.log import OnConsole

    with OnConsole(console).listening() if voice == "verbose" else contextlib.nullcontext():
        yield console


trust = click.option(
    "--trust", is_flag=True, help="Let the task's own functions run, although somebody else has made the folder."
)


def ask_for_trust(folder: SearchFolder, given: bool) -> None:
    """Have the user say once whether functions that a foreign folder names may run; without a terminal, by --trust."""
    from rdsearch.search.store.trust import foreign_functions, question
    from rdsearch.search.store.trust import trust as give_trust

    functions = foreign_functions(folder)
    if functions and (given or (sys.stdin.isatty() and click.confirm(question(folder, functions)))):
        give_trust(folder)


overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Replace a value of the file, such as task.root=data.",
)
