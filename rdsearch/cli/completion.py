"""What a shell completes in a command line, beside commands, options and the files of arguments that are paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def paths(kind: str) -> Completer:
    """Paths of a kind: ``file``, or ``dir`` for folders alone."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type=kind)]

    return complete


folders = paths("dir")


def spaces(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of ready searches, and files where no name begins so."""
    from click.shell_completion import CompletionItem

    from rdsearch.config.ready import first_comment, ready_spaces

    found = {name: path for name, path in ready_spaces().items() if name.startswith(incomplete)}
    named = [CompletionItem(name, help=first_comment(path)) for name, path in found.items()]
    return named or [CompletionItem(incomplete, type="file")]
