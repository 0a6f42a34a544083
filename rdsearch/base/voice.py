"""How a long command speaks: to people on a terminal or in a log, to programs in lines of JSON, or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from rdsearch.base.terminal import make_console, say
from rdsearch.base.units import format_duration

Voice = Literal["text", "json", "quiet"]


class JsonConsole(Console):
    """Writes one JSON object a line: ``{"event": "message", "text": …}`` for what would be printed, and events."""

    def print(self, *objects: Any, **_: Any) -> None:
        """What is for people, as a message."""
        self.event("message", text=" ".join(str(one) for one in objects))

    def event(self, kind: str, **values: Any) -> None:
        """An event, for programs."""
        self.file.write(json.dumps({"event": kind, **values}, allow_nan=False) + "\n")
        self.file.flush()


def console_of(voice: Voice) -> Console:
    """The console for a voice, on standard output."""
    if voice == "json":
        return JsonConsole()
    return Console(quiet=True) if voice == "quiet" else make_console()


@contextmanager
def phase(console: Console, what: str) -> Iterator[Callable[[str], None]]:
    """Say that something begins that takes a while, and on a terminal what it comes to and how long it took.

    Yields:
        A function that replaces what is shown; on anything but a terminal it says nothing.
    """
    started = time.monotonic()
    if not console.is_terminal:
        say(console, f"{what[0].upper()}{what[1:]} …")
        yield lambda _: None
        return
    with console.status(Text(f"{what} …")) as status:

        def show(text: str) -> None:
            status.update(Text(text))

        yield show
    say(console, f"{what}: {format_duration(time.monotonic() - started)}", style="dim")
