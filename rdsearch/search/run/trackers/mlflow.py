"""MLflow: runs in the experiment of the search's name, wherever MLflow's own environment says."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from typing import Any

from rdsearch.points.point import Scalar
from rdsearch.points.scalars import format_cell
from rdsearch.search.run.trackers import Tracked, not_installed
from rdsearch.search.store.rounds import Outcome

_SEARCH, _TRIAL = "rdsearch.search", "rdsearch.trial"
"""Tags by which a resumed search finds its runs."""
_STATUS = {"complete": "FINISHED", "stopped": "FINISHED", "failed": "FAILED"}


class MLflow:
    """A run a trial: figures by round, the recipe as parameters."""

    def __init__(self, search: Tracked) -> None:
        for chatty in ("mlflow", "alembic"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        from mlflow import MlflowClient

        self._client: Any = MlflowClient()
        self._search = search
        self._runs: dict[int, str] = {}
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", search.name)
        experiment = self._client.get_experiment_by_name(name)
        self._experiment = experiment.experiment_id if experiment else self._client.create_experiment(name)
        self.where = f"MLflow: experiment {name} at {_without_password(self._client.tracking_uri)}"

    @staticmethod
    def missing() -> str | None:
        """The package."""
        return not_installed("mlflow", "mlflow")

    def begin(self, trial: int, config: Mapping[str, Scalar]) -> None:
        """Make a run, or open the one that there is."""
        from mlflow.entities import Param

        tags = {_SEARCH: self._search.identity, _TRIAL: str(trial)}
        wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        found = self._client.search_runs([self._experiment], wanted, max_results=1)
        if found:
            self._runs[trial] = found[0].info.run_id
            self._client.update_run(self._runs[trial], status="RUNNING")
            return
        run = self._client.create_run(self._experiment, tags=tags, run_name=f"trial_{trial}")
        self._runs[trial] = run.info.run_id
        params = [Param(name, format_cell(value)) for name, value in config.items()]
        self._client.log_batch(self._runs[trial], params=params)

    def log(self, trial: int, step: int, figures: Mapping[str, float]) -> None:
        """A metric a figure."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in figures.items()]
        self._client.log_batch(self._runs[trial], metrics=metrics)

    def end(self, trial: int, outcome: Outcome) -> None:
        """Its status."""
        run = self._runs.pop(trial)
        if outcome.message:
            self._client.set_tag(run, "rdsearch.outcome", outcome.message)
        self._client.set_terminated(run, _STATUS[outcome.state])

    def close(self) -> None:
        """Runs that are open were interrupted."""
        for run in self._runs.values():
            self._client.set_terminated(run, "KILLED")


def _without_password(uri: str) -> str:
    head, at, tail = uri.rpartition("@")
    return f"{head.partition('://')[0]}://…@{tail}" if at else uri
