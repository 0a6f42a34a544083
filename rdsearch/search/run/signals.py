"""Signals that end a run: wherever it is, it is told in time to write down what it has."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Of a batch system, a supervisor, and a terminal that is closed."""
_TUNES_OWN = (signal.SIGINT, signal.SIGUSR1)
"""What Tune listens to while it runs; it leaves its listeners behind."""


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM, SIGHUP and SIGUSR1 interrupt what runs inside as Ctrl-C does: by ``KeyboardInterrupt``.

    Where Tune runs, it hears of them as SIGUSR1, and ends its run in good order. A signal that is ignored already, as
    SIGHUP is below ``nohup``, stays so. Only a main thread hears signals; in others nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]

    def pass_on(number: int, _: FrameType | None) -> None:
        if number == signal.SIGHUP:
            _let_go_of(terminals)
        signal.raise_signal(signal.SIGUSR1)

    with _restored():
        signal.signal(signal.SIGUSR1, _interrupt)
        for number in _ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, pass_on)
        yield


@contextlib.contextmanager
def listeners_restored() -> Iterator[None]:
    """Around the start of Ray and a run of Tune, which put their own listeners in place and do not take them away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _restored():
        yield


@contextlib.contextmanager
def last_words() -> Iterator[None]:
    """What is inside is brief and is to be finished: only Ctrl-C still interrupts it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _restored():
        for number in (*_ENDING, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        yield


@contextlib.contextmanager
def _restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (*_ENDING, *_TUNES_OWN)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _let_go_of(terminals: list[int]) -> None:
    """A terminal that is gone would fail every line that is written to it."""
    for descriptor in terminals:
        if not os.isatty(descriptor):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
