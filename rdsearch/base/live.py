"""What changes while one looks at it: on a terminal, and in the output of a notebook's cell."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live

_TERMINAL_REFRESHES = 4.0
_NOTEBOOK_SECONDS = 0.5
"""Between two pictures: each is a message to the browser."""
_NOTEBOOK_COLUMNS = 80
_NOTEBOOK_HTML = '<pre style="line-height: 1.25; margin: 0">{code}</pre>'


class Display:
    """Something that is drawn again and again in its place, and goes when it is stopped.

    Args:
        render: Draws it; it fits 80 columns.
        console: A terminal or a notebook; see `display_on`.
    """

    def __init__(self, render: Callable[[], RenderableType], console: Console) -> None:
        self._render = render
        self._live = Live(
            get_renderable=render, console=console, refresh_per_second=_TERMINAL_REFRESHES, transient=True
        )

    def start(self) -> None:
        """Draw it for the first time."""
        self._live.start(refresh=True)

    def turned(self) -> None:
        """To be called often, from the main thread; a terminal is drawn from a thread of its own."""

    def stop(self) -> None:
        """Take it away."""
        self._live.stop()


class NotebookDisplay(Display):
    """The same in the output of a cell: what a terminal would show, in its colours, as HTML."""

    def __init__(self, render: Callable[[], RenderableType]) -> None:
        self._render = render
        self._handle: Any = None
        self._next = 0.0

    def start(self) -> None:
        """Draw it for the first time."""
        from IPython.display import display

        self._handle = display(self._drawn(), raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def turned(self) -> None:
        """Draw it again, not too often."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _NOTEBOOK_SECONDS
            self._handle.update(self._drawn(), raw=True)

    def stop(self) -> None:
        """Take it away."""
        self._handle.update({"text/plain": "", "text/html": ""}, raw=True)

    def _drawn(self) -> dict[str, str]:
        console = Console(
            file=io.StringIO(), record=True, width=_NOTEBOOK_COLUMNS, force_terminal=True, force_jupyter=False
        )
        console.print(self._render())
        page = console.export_html(inline_styles=True, code_format=_NOTEBOOK_HTML, clear=False)
        return {"text/plain": console.export_text(), "text/html": page}


def display_on(console: Console, render: Callable[[], RenderableType]) -> Display | None:
    """A display for a console; ``None`` for a log, a program, or nobody."""
    if console.quiet:
        return None
    if console.is_jupyter:
        return NotebookDisplay(render)
    return Display(render, console) if console.is_terminal else None
