from __future__ import annotations

import io

import pytest
from rich.console import Console

from rdsearch.base.terminal import lines, printable, say, take_any_text


def test_what_could_steer_a_terminal_is_shown_as_a_dot() -> None:
    assert printable("a\x1b[31mred\x07\u202eb\nc\udcff") == "a·[31mred··b·c·"
    assert lines("one\ntwo\x1b[2J") == "one\ntwo·[2J"


@pytest.mark.parametrize("text", ["lr[x]", "cannot read [/data/cat.png]", "[bold]:smile:[/bold]", "[/]"])
def test_brackets_are_no_markup(text: str) -> None:
    out = io.StringIO()
    say(Console(file=out, width=10), text)
    assert out.getvalue() == f"{text}\n"


@pytest.mark.parametrize(
    ("encoding", "said"), [("ascii", "9.4x - 0.97 +- 0.01 <- ?"), ("latin-1", "9.4× - 0.97 ± 0.01 <- ?")]
)
def test_a_stream_that_lacks_characters_writes_others(encoding: str, said: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    take_any_text(stream)
    stream.write("9.4× – 0.97 ± 0.01 ← 字")
    stream.flush()
    assert raw.getvalue().decode(encoding) == said
