"""How a long command speaks: to people on a terminal or in a log, to programs in lines of JSON, or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from rdsearch.base.live import NotebookDisplay
from rdsearch.base.terminal import LOGGER, make_console, say
from rdsearch.base.units import format_duration

Voice = Literal["text", "json", "quiet", "verbose"]


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
    """Say that something begins that takes a while; where lines are replaced, what it comes to and how long it took.

    The log has both, and programs get an event at the end.

    Yields:
        A function that replaces what is shown; where lines stay it says nothing.
    """
    started = time.monotonic()
    begins = f"{what[0].upper()}{what[1:]} …"
    if console.quiet or not (console.is_terminal or console.is_jupyter):
        say(console, begins)
        yield lambda _: None
        seconds = time.monotonic() - started
        LOGGER.info("%s: %s", what, format_duration(seconds))
        if isinstance(console, JsonConsole):
            console.event("phase", name=what, seconds=seconds)
        return
    LOGGER.info("%s", begins)
    with _status(console, f"{what} …") as show:
        yield show
    say(console, f"{what}: {format_duration(time.monotonic() - started)}", style="dim")


@contextmanager
def _status(console: Console, text: str) -> Iterator[Callable[[str], None]]:
    """A line that can be replaced, and goes at the end: with a spinner on a terminal, plain in a notebook."""
    if not console.is_jupyter:
        with console.status(Text(text)) as status:
            yield lambda new: status.update(Text(new))
        return
    shown = [text]
    display = NotebookDisplay(lambda: Text(shown[0], style="dim"))

    def show(new: str) -> None:
        shown[0] = new
        display.turned()

    display.start()
    try:
        yield show
    finally:
        display.stop()
