"""What Ctrl-C is answered while Tune runs, which itself says nothing and waits for its workers."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from ray.tune import Callback

from rdsearch.base.terminal import say

if TYPE_CHECKING:
    from rich.console import Console

STOPPING = "Stopping: the front is written as soon as the workers have let go; Ctrl-C again does not wait for them"
AT_ONCE = "Stopping at once"


class Answer(Callback):
    """Answers the first signal that ends a run at once, and lets a second Ctrl-C end it without the workers.

    Args:
        console: Where it is said.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._listens = threading.current_thread() is not threading.main_thread()

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Take over from Tune, which has its listeners in place now; they hear of the first signal all the same."""
        if self._listens:
            return
        self._listens = True
        for number in (signal.SIGINT, signal.SIGUSR1):
            tunes = signal.getsignal(number)
            if callable(tunes):
                signal.signal(number, partial(self._stop, tunes))

    def _stop(self, tunes: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None) -> None:
        self._say(STOPPING)
        tunes(number, frame)
        signal.signal(signal.SIGINT, self._stop_at_once)
        signal.signal(signal.SIGUSR1, tunes)

    def _stop_at_once(self, *_: object) -> None:
        self._say(AT_ONCE)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt

    def _say(self, text: str) -> None:
        # From a thread of its own: what was interrupted may be in the middle of a line.
        threading.Thread(target=say, args=(self._console, text), daemon=True).start()

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks into a file that nothing reads.
        return {}
