"""TensorBoard: event files in the search's folder, by tensorboardX, which Ray Tune brings."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rdsearch.points.point import Scalar
from rdsearch.search.run.trackers import Tracked, not_installed
from rdsearch.search.store.rounds import Outcome

FOLDER = "tensorboard"
_RESULTS = ("size_bytes", "val_accuracy", "sparsity")
"""Figures of a trial's last round that stand beside its recipe."""


class TensorBoard:
    """A folder of event files a trial: scalars by round, and recipes in the tab of hyperparameters."""

    def __init__(self, search: Tracked) -> None:
        self._folder = search.folder / FOLDER
        self._writers: dict[int, Any] = {}
        self._configs: dict[int, dict[str, Scalar]] = {}
        self._last: dict[int, dict[str, float]] = {}
        self.where = f"TensorBoard: `tensorboard --logdir {self._folder}`"

    @staticmethod
    def missing() -> str | None:
        """The package."""
        return not_installed("tensorboardX", "tensorboard")

    def begin(self, trial: int, config: Mapping[str, Scalar]) -> None:
        """Open event files; those of an earlier run of the search stay beside them."""
        from tensorboardX import SummaryWriter

        # Its own names differ by the second alone, and a file of the same name would be written over.
        own = f".{time.time_ns()}"
        self._writers[trial] = SummaryWriter(str(self._folder / f"trial_{trial:05d}"), filename_suffix=own)
        # It knows numbers, texts and truth alone.
        self._configs[trial] = {name: str(value) if value is None else value for name, value in config.items()}

    def log(self, trial: int, step: int, figures: Mapping[str, float]) -> None:
        """A scalar a figure."""
        for name, value in figures.items():
            self._writers[trial].add_scalar(name, value, global_step=step)
        self._writers[trial].flush()
        self._last[trial] = {name: figures[name] for name in _RESULTS}

    def end(self, trial: int, outcome: Outcome) -> None:
        """The recipe and what came of it."""
        from tensorboardX.summary import hparams

        writer, last = self._writers.pop(trial), self._last.pop(trial, None)
        config = self._configs.pop(trial)
        if last is not None:
            for summary in hparams(hparam_dict=config, metric_dict=last):
                writer.file_writer.add_summary(summary)
        writer.add_text("outcome", f"{outcome.state} {outcome.message}".strip())
        writer.close()

    def close(self) -> None:
        """Close what is open."""
        for writer in self._writers.values():
            writer.close()
