"""What commands say, and the options that several have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from rdsearch.base.terminal import lines
from rdsearch.base.units import parse_share

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


def limits(function: F) -> F:
    """The options that end a run of a search."""
    for option in (
        click.option("--trials", type=click.IntRange(min=1), help="Trials that the search shall have in the end."),
        click.option("--time", metavar="DURATION", help="Stop after this wall time, such as 90m or 2h."),
        click.option("--address", metavar="ADDRESS", help="A Ray cluster's address; 'auto' for the one running here."),
    ):
        function = option(function)
    return function


overrides = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the file, as in task.root=data."
)
