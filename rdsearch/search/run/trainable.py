"""What a Ray worker runs: one trial, from wherever the round store says that it stands."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from rdsearch.compression.calibration import Calibration
from rdsearch.compression.measure import Baseline
from rdsearch.compression.rounds import rounds
from rdsearch.config.space import RecipeSpace
from rdsearch.errors import RdsearchError, SearchError
from rdsearch.points.point import OperatingPoint, Scalar
from rdsearch.quantization.findings import Findings
from rdsearch.search.run.device import claim_device
from rdsearch.search.store.places import Place
from rdsearch.search.store.rounds import Outcome, RoundStore
from rdsearch.search.study.constraints import past_hope
from rdsearch.tasks.task import Task

ROUND = "pruning_round"
"""Key of a report that says which round has been stored."""
NEWS = "news"
"""Key of a report that tells what of a round has been stored, so that the driver need not read it."""
STORAGE_ERROR = "storage_error"
"""Key of a report that says why the store could not be written."""
_BEFORE_TUNE = "TUNE_ORIG_WORKING_DIR"
PAST_HOPE = Outcome("stopped", "its accuracy had fallen past the constraint")


@dataclass(frozen=True)
class TrialContext:
    """What all trials of a search share; it goes to each node once.

    Attributes:
        task: The task, without its test split.
        space: The search space.
        baseline: The dense network's figures.
        store: Where the round store lies.
        seed: Seed of the search.
        threads: Threads that torch may use.
        constraints: Measured column to its bound.
        patience: Rounds in a row past the accuracy constraint after which a trial ends.
        gpu: Share of a GPU that a trial has; 0 where the cluster has none.
        taken: Bytes of GPUs that no trial can have, see `taken_by_others`.
        fingerprint: The task's.
    """

    task: Task
    space: RecipeSpace
    baseline: Baseline
    store: Path | Place
    seed: int
    threads: int
    constraints: Mapping[str, float] = field(default_factory=dict)
    patience: int | None = None
    gpu: float = 0.0
    taken: Mapping[str, int] = field(default_factory=dict)
    fingerprint: str | None = None

    def findings(self, device: str, calibration: Calibration) -> Findings:
        """What this worker's trials before have found out about the dense network; nothing without a fingerprint."""
        if self.fingerprint is None:
            return Findings()
        return _findings(self.fingerprint, self.seed, device, self.threads, calibration)


@lru_cache(maxsize=2)
def _findings(fingerprint: str, seed: int, device: str, threads: int, calibration: Calibration) -> Findings:
    """Of all that they depend on. A worker runs one trial after another, and keeps the latest."""
    return Findings()


def trial_points(
    context: TrialContext, number: int, parameters: dict[str, Scalar], device: str, store: RoundStore | None = None
) -> Iterator[OperatingPoint]:
    """All points of a trial: first those that the store has, then the rest, each stored before it is given.

    An error that would come again, whatever the machine, ends the trial for good with its message.
    """
    store = store or RoundStore(context.store)
    if store.outcome(number) is not None:
        yield from store.points(number)
        return
    try:
        done = store.points(number)
        yield from done
        recipe = context.space.recipe(parameters)
        if done and done[-1].round >= recipe.pruning.rounds:
            # Its worker ended between the last round and this.
            store.finish(number, Outcome("complete"))
            return
        if past_hope(done, context.constraints, context.patience):
            store.finish(number, PAST_HOPE)
            return
        checkpoint = store.checkpoint(number) if done or store.damaged else None
        store.begin(number)
        for point, after in rounds(
            context.task,
            recipe,
            seed=context.seed,
            device=device,
            baseline=context.baseline,
            after=checkpoint,
            parameters=parameters,
            drafts=partial(store.draft, number),
            shared=partial(context.findings, device),
        ):
            last = point.round == recipe.pruning.rounds
            done[point.round - 1 :] = [store.publish(number, point, None if last else after)]
            hopeless = not last and past_hope(done, context.constraints, context.patience)
            if last or hopeless:
                # Before the report, which waits for the driver's answer.
                store.finish(number, PAST_HOPE if hopeless else Outcome("complete"))
            yield done[-1]
            if hopeless:
                return
    except SearchError:
        raise  # the machine's fault, not the trial's
    except RdsearchError as error:
        store.finish(number, Outcome("failed", str(error)))
    except Exception:
        store.log_error(number, traceback.format_exc())
        raise


def run_trial(config: dict[str, Any], context: TrialContext) -> None:
    """The function that Ray Tune calls: reports every point of the trial ``config["number"]``."""
    import torch
    from ray import tune

    torch.set_num_threads(context.threads)
    if _BEFORE_TUNE in os.environ:
        # Tune has moved into a folder of its own, unless the node was told otherwise when it was started.
        os.chdir(os.environ[_BEFORE_TUNE])
    try:
        device = claim_device(context.gpu, context.taken)
        store, number = RoundStore(context.store), config["number"]
        for point in trial_points(context, number, config["parameters"], device, store):
            tune.report({"number": number, ROUND: point.round, NEWS: store.news(number, point.round)})
    except SearchError as error:
        # The disk is full or gone. No trial is to blame, and every other one would meet the same: the search stops.
        tune.report({"number": config["number"], STORAGE_ERROR: str(error)})
