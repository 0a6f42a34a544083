"""Letting Ray Tune run a search's trials: all of them side by side, and those that need the machine alone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rdsearch.errors import SearchStoppedError
from rdsearch.search.run.cluster import Desertion, Room, Slots
from rdsearch.search.run.nodes import NodeCheck
from rdsearch.search.run.signals import listeners_restored
from rdsearch.search.run.trainable import TrialContext, run_trial
from rdsearch.search.run.watch import RayWatch
from rdsearch.search.store.folder import SearchFolder
from rdsearch.search.study.ledger import Ledger

MAX_FAILURES = 2
"""Times that Tune starts a trial again after its worker or node has died."""


@dataclass(frozen=True)
class Fit:
    """A search's trials, as Tune runs them.

    Attributes:
        folder: The search's folder.
        context: What all trials share.
        ledger: The books.
        nodes: Looks at the nodes of a cluster that somebody else has started.
        deadline: Monotonic time at which the run ends.
        callbacks: Tune's, that hear of trials.
        watch: Ends the run when Ray has gone.
        warn: Gets a line for the user.
    """

    folder: SearchFolder
    context: TrialContext
    ledger: Ledger
    nodes: NodeCheck | None
    deadline: float | None
    callbacks: Sequence[Any]
    watch: RayWatch
    warn: Callable[[str], None]

    def run(self, places: Slots) -> None:
        """Run trials until there are enough, and those that need the machine for themselves after all others.

        Args:
            places: What a trial gets, and how many there are at once.

        Raises:
            SearchStoppedError: The store cannot be written, or no node of the cluster can do the work.
        """
        set_aside = self._tune(places)
        if not set_aside or sorted(set_aside) != sorted(self.ledger.unfinished):
            return
        count = "1 trial whose worker was" if len(set_aside) == 1 else f"{len(set_aside)} trials whose workers were"
        self.warn(f"{count} killed for memory: tried again, one at a time")
        for number in set_aside:
            self.ledger.put_back(number)
        self._tune(replace(places, concurrent=1, limited=True))

    def _tune(self, places: Slots) -> list[int]:
        """Let Tune run trials; those that it set aside, since they ran out of memory beside others."""
        from ray import tune

        from rdsearch.search.run.actors import forgiving_actors
        from rdsearch.search.run.searcher import Bookkeeping, Deserted, LedgerScheduler, LedgerSearcher

        worker = tune.with_parameters(run_trial, context=self.context)
        # What Ray's dashboard calls a worker. Not by its trial: it runs one after another.
        worker.__name__ = f"trials of {self.context.task.name}"
        trainable = tune.with_resources(worker, {"cpu": places.cpu, "gpu": places.gpu})
        room = Room(places)
        desertion = Desertion(room, places, self.warn) if places.grows else None
        searcher = LedgerSearcher(self.ledger, room, self.nodes, desertion)
        try:
            with listeners_restored(), forgiving_actors():
                tune.Tuner(
                    trainable,
                    tune_config=tune.TuneConfig(
                        search_alg=searcher,
                        scheduler=LedgerScheduler(self.ledger, room),
                        num_samples=-1,
                        max_concurrent_trials=room.at_most,
                        time_budget_s=max(1.0, self.deadline - time.monotonic()) if self.deadline is not None else None,
                        reuse_actors=True,
                        trial_name_creator=lambda trial: f"trial_{trial.config.get('number', trial.trial_id)}",
                        trial_dirname_creator=lambda trial: str(trial.trial_id),
                    ),
                    run_config=tune.RunConfig(
                        name="run",
                        storage_path=str(self.folder.tune),
                        stop=Deserted(searcher),
                        failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                        callbacks=[Bookkeeping(self.ledger, searcher, room, self.watch), *self.callbacks],
                        verbose=0,
                    ),
                ).fit()
            self.watch.rest_if_lost()
        finally:
            searcher.settle()
            shutil.rmtree(self.folder.tune, ignore_errors=True)
        if searcher.storage_error is not None:
            raise SearchStoppedError(searcher.storage_error)
        return searcher.set_aside
