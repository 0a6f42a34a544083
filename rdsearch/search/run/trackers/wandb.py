"""Weights & Biases: runs in a group of the search's name, by wandb's own environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from rdsearch.points.point import Scalar
from rdsearch.search.run.trackers import Tracked, not_installed
from rdsearch.search.store.rounds import Outcome

_PROJECT = "rdsearch"
_NO_ACCOUNT = ("offline", "disabled", "dryrun")
"""Modes in which nothing is sent."""


class WeightsAndBiases:
    """A run a trial: figures by round, the recipe as its configuration."""

    def __init__(self, search: Tracked) -> None:
        self._search = search
        self._runs: dict[int, Any] = {}
        mode = os.environ.get("WANDB_MODE", "online")
        self._project = os.environ.get("WANDB_PROJECT", _PROJECT)
        self._folder = os.environ.get("WANDB_DIR", str(search.folder))
        sent = f"; `wandb sync {self._folder}/wandb/offline-*` sends them" if mode == "offline" else ""
        self.where = f"Weights & Biases: group {search.name} of project {self._project}, {mode}{sent}"

    @staticmethod
    def missing() -> str | None:
        """The package, or an account: wandb itself would ask for one in the middle of the search."""
        missing = not_installed("wandb", "wandb")
        if missing is not None or os.environ.get("WANDB_MODE", "").lower() in _NO_ACCOUNT:
            return missing
        import wandb

        return None if wandb.api.api_key else "has no API key: run `wandb login`, or set WANDB_MODE=offline"

    def begin(self, trial: int, config: Mapping[str, Scalar]) -> None:
        """Make a run, or go on with the one of the same name."""
        import wandb

        self._runs[trial] = wandb.init(
            project=self._project,
            dir=self._folder,
            id=f"{self._search.identity}-{trial}",
            resume="allow",
            name=f"trial_{trial}",
            group=self._search.name,
            config=dict(config),
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off", disable_git=True, save_code=False),
        )

    def log(self, trial: int, step: int, figures: Mapping[str, float]) -> None:
        """A step."""
        self._runs[trial].log(dict(figures), step=step)

    def end(self, trial: int, outcome: Outcome) -> None:
        """Finish it; a trial that failed is a crash there."""
        run = self._runs.pop(trial)
        run.summary["outcome"] = f"{outcome.state} {outcome.message}".strip()
        run.finish(exit_code=int(outcome.state == "failed"))

    def close(self) -> None:
        """Runs that are open can be gone on with."""
        for run in self._runs.values():
            run.finish()
