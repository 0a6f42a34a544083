"""How long commands speak."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from rdsearch.base.terminal import say
from rdsearch.base.textplot import staircase
from rdsearch.base.voice import JsonConsole, console_of, phase


def test_programs_get_one_object_a_line() -> None:
    out = io.StringIO()
    console = JsonConsole(file=out)
    say(console, "two\nlines [bold]")
    console.event("progress", ended=3, front=[])
    assert [json.loads(line) for line in out.getvalue().splitlines()] == [
        {"event": "message", "text": "two\nlines [bold]"},
        {"event": "progress", "ended": 3, "front": []},
    ]


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    console = console_of("quiet")
    say(console, "nothing")
    with phase(console, "starting"):
        pass
    assert capsys.readouterr().out == ""


def test_a_log_has_a_line_when_a_phase_begins_and_a_terminal_one_when_it_ends() -> None:
    log, screen = io.StringIO(), io.StringIO()
    with phase(Console(file=log, width=80), "starting Ray") as show:
        show("never in a log")
        assert log.getvalue() == "Starting Ray …\n"
    with phase(Console(file=screen, width=80, force_terminal=True), "starting Ray") as show:
        show("almost there")
    assert "starting Ray: " in screen.getvalue().splitlines()[-1]


def test_a_phase_that_fails_takes_its_line_away_and_says_nothing_more() -> None:
    screen = io.StringIO()
    with pytest.raises(ValueError, match="no"), phase(Console(file=screen, force_terminal=True), "starting Ray"):
        raise ValueError("no")
    assert "starting Ray: " not in screen.getvalue()


def test_a_staircase_of_text_rises_to_the_right_on_a_log_axis() -> None:
    assert staircase([(10, 0.0), (100, 0.5), (1000, 1.0)], width=5, height=3) == ["    •", "  •", "•"]
    assert staircase([], width=5, height=3) == []


@given(st.lists(st.tuples(st.floats(1, 1e9), st.floats(-1, 1)), min_size=1), st.integers(2, 40), st.integers(2, 9))
def test_every_point_has_a_cell(places: list[tuple[float, float]], width: int, height: int) -> None:
    rows = staircase(places, width=width, height=height)
    assert len(rows) == height
    assert max(map(len, rows)) <= width
    assert 1 <= "".join(rows).count("•") <= len(places)


def test_programs_hear_how_long_a_phase_took_and_so_does_the_log(caplog: pytest.LogCaptureFixture) -> None:
    out = io.StringIO()
    with caplog.at_level("INFO", logger="rdsearch"), phase(JsonConsole(file=out), "starting Ray"):
        pass
    begun, ended = (json.loads(line) for line in out.getvalue().splitlines())
    assert begun == {"event": "message", "text": "Starting Ray …"}
    assert (ended["event"], ended["name"]) == ("phase", "starting Ray")
    assert 0 <= ended["seconds"] < 1
    assert caplog.messages[0] == "Starting Ray …"
    assert caplog.messages[1].startswith("starting Ray: 0.")
