"""Live progress in a notebook, run by a real kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

BEGIN = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import time
from rdsearch.base.terminal import make_console
from rdsearch.base.voice import phase
from rdsearch.search.run.progress import Screen
from tests.search.run.test_progress import Counts, point, progress

console = make_console()
with phase(console, "starting Ray") as show:
    show("almost there")
counts = Counts(target=4)
shown = progress(counts)
screen = Screen(shown, console).__enter__()
for number in range(1, 5):
    counts.ended = number
    screen.stored(point(100 * number, 0.72 + 0.01 * number, trial=number))
    screen.turned(running=1)
    time.sleep(0.6)
screen.turned(running=1)
"""
END = "screen.stop()"


def shown(outputs: list[Any]) -> list[str]:
    """The HTML of each output, or its text."""
    return [
        one.get("text") or one.get("data", {}).get("text/html") or one.get("data", {}).get("text/plain", "")
        for one in outputs
    ]


@pytest.mark.filterwarnings("default")
def test_the_panel_is_drawn_again_in_its_place_and_goes_at_the_end() -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in (BEGIN, END)])
    client = nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3")
    with client.setup_kernel():
        client.execute_cell(notebook.cells[0], 0)
        texts = shown(notebook.cells[0].outputs)
        panels = [text for text in texts if "trials done" in text]
        assert len(panels) == 1, texts
        assert "4/4 trials done, 1 running" in panels[0]
        assert panels[0].count("•") == 4
        assert any("starting Ray: " in text for text in texts)
        assert not any("almost there" in text for text in texts)
        client.execute_cell(notebook.cells[1], 1)
        assert not any("trials done" in text for text in shown(notebook.cells[0].outputs))
        assert "4/4 trials done" in "".join(shown(notebook.cells[1].outputs))
