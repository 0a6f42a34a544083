"""What Ctrl-C is answered, with the listeners that Tune itself puts in place."""

from __future__ import annotations

import io
import os
import signal
import time

import pytest
from ray.tune.tune import _setup_signal_catching
from rich.console import Console

from rdsearch.search.run.answer import AT_ONCE, STOPPING, Answer
from rdsearch.search.run.signals import listeners_restored


def said(console: Console, wanted: str) -> bool:
    deadline = time.monotonic() + 20
    while wanted not in console.file.getvalue():  # type: ignore[attr-defined]
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_the_first_signal_is_answered_and_tune_hears_of_it_and_a_second_ctrl_c_ends_the_run(
    number: signal.Signals,
) -> None:
    console = Console(file=io.StringIO(), width=40)
    with listeners_restored():
        stopped = _setup_signal_catching()
        answer = Answer(console)
        answer.on_step_begin(0, [])
        answer.on_step_begin(1, [])
        assert not stopped.is_set()
        os.kill(os.getpid(), number)
        assert stopped.wait(20)
        assert said(console, STOPPING)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert said(console, AT_ONCE)
    assert console.file.getvalue().count("Stopping") == 2  # type: ignore[attr-defined]
