"""Text for people: nothing of a user's is read as markup or steers a terminal, and ASCII alone will do."""

from __future__ import annotations

import codecs
import logging
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

LOGGER = logging.getLogger("rdsearch")
"""Hears, at level INFO, all that is said to people."""

_ASCII = {
    "×": "x",
    "–": "-",
    "±": "+-",
    "…": "...",
    "←": "<-",
    "·": ".",
    "−": "-",
    "²": "^2",
    "•": "*",
    "│": "|",
    "└": "+",
    "─": "-",
}
_IN_ASCII = "rdsearch.ascii"


def printable(text: str) -> str:
    """The text in one line: every character that could steer a terminal or break a line is shown as ``·``."""
    return "".join(character if character.isprintable() else "·" for character in text)


def lines(text: object) -> str:
    """`printable`, its line breaks kept."""
    return "\n".join(printable(line) for line in str(text).split("\n"))


def say(console: Console, text: object, style: str = "") -> None:
    """Print text as it is: in brackets or not, it is no markup; lines are not broken where a window ends."""
    from rich.text import Text

    LOGGER.info("%s", text)
    console.print(Text(lines(text), style=style), soft_wrap=True)


def make_console() -> Console:
    """A console on standard output, which takes any text."""
    from rich.console import Console

    take_any_text(sys.stdout)
    return Console(markup=False, emoji=False, highlight=False)


def take_any_text(stream: TextIO) -> None:
    """Let a stream whose encoding lacks a character (ASCII, Latin-1) write another in its place."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors=_IN_ASCII)


def _in_ascii(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_ASCII.get(character, "?") for character in error.object[error.start : error.end]), error.end


codecs.register_error(_IN_ASCII, _in_ascii)
