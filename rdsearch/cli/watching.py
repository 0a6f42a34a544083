"""The command that shows a search while it runs."""

from __future__ import annotations

import contextlib

import click

from rdsearch.cli import completion
from rdsearch.cli.output import echo


@click.command()
@click.argument("directory", metavar="DIR", shell_complete=completion.folders)
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=0, help="Where to listen on 127.0.0.1. [default: a free one]"
)
def watch(directory: str, port: int) -> None:
    """Show a search in the browser while it runs.

    The growing report is served on this machine alone (127.0.0.1) until Ctrl-C, and shows new rounds as they are
    stored, by whatever process runs the search. Nothing is written.
    """
    from rdsearch.base.terminal import make_console
    from rdsearch.base.voice import phase
    from rdsearch.search.run.signals import stoppable

    with stoppable(), contextlib.suppress(KeyboardInterrupt):
        with phase(make_console(), f"reading {directory}"):
            from rdsearch.report.serving import ReportServer
            from rdsearch.report.watching import Watched

            watched = Watched(directory)
            server = ReportServer(watched, port)
            watched.page()
        with server:
            echo(f"{server.url}  # Ctrl-C ends this, and nothing else")
            server.serve_forever(poll_interval=0.2)
