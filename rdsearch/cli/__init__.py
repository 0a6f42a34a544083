"""The command line: thin, every command a few calls into the library."""

from __future__ import annotations

import sys

import click

from rdsearch import __version__
from rdsearch.base.terminal import take_any_text
from rdsearch.cli.beginning import init
from rdsearch.cli.checking import schema, spaces, validate
from rdsearch.cli.files import decode, evaluate, info, truncate
from rdsearch.cli.making import compress, train
from rdsearch.cli.output import INTERRUPTED, echo
from rdsearch.cli.reporting import report
from rdsearch.cli.results import front, test
from rdsearch.cli.running import resume, search
from rdsearch.cli.shipping import pull, push, ship
from rdsearch.cli.watching import watch
from rdsearch.errors import RdsearchError


class _Group(click.Group):
    """Lists the commands in the order in which a user meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="rdsearch")
def app() -> None:
    """Find the smallest files that still do the job.

    A search tries pruning schedules, per-layer budgets and quantisers on a trained network and ends with the
    Pareto front of file size and accuracy, as files that decode to the networks whose accuracy is shown.
    """


for _command in (
    init,
    search,
    resume,
    front,
    test,
    report,
    watch,
    ship,
    push,
    pull,
    train,
    compress,
    decode,
    info,
    evaluate,
    truncate,
    validate,
    spaces,
    schema,
):
    app.add_command(_command)


def main() -> None:
    """Run the command line; a user's mistake ends it with status 2 and one message."""
    for stream in (sys.stdout, sys.stderr):
        take_any_text(stream)
    try:
        status = app(standalone_mode=False)
    except click.ClickException as error:
        _shown(error)
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        echo("interrupted", err=True)
        status = INTERRUPTED
    except RdsearchError as error:
        echo(f"Error: {error}", err=True)
        status = error.exit_code
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            # The reader of a pipe (head, less) has had enough.
            sys.stderr.close()
            sys.exit(0)
        status = _blame(error) or _unwritten(error)
    except Exception as error:
        status = _blame(error)
        if status is None:
            raise  # a fault of rdsearch itself: all that is known of it should be seen
    sys.exit(status if isinstance(status, int) else 0)


def _shown(error: click.ClickException) -> None:
    """As click shows it, with the usage, but nothing in it steers a terminal."""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        echo(error.ctx.get_usage(), err=True)
    echo(f"Error: {error.format_message()}", err=True)


def _blame(error: Exception) -> int | None:
    """One sentence about an error that came up in a user's own code; ``None`` for any other."""
    from rdsearch.base.blame import place_of, sentence

    if place_of(error) is None:
        return None
    echo(f"Error: {sentence(error)}", err=True)
    return RdsearchError.exit_code


def _unwritten(error: OSError) -> int:
    echo(f"Error: {error.filename or 'the disk'}: {error.strerror or error}", err=True)
    return RdsearchError.exit_code
