"""What a search would take here, measured before anything of it is started or written."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from rdsearch.base.device import choose_device
from rdsearch.base.units import format_duration, format_size
from rdsearch.compression.rehearsal import samples_of
from rdsearch.compression.timing import Timing, time_task
from rdsearch.config.searchfile import SearchFile
from rdsearch.search.run.cluster import Slots, available_cores
from rdsearch.tasks.task import Task

RAY_SECONDS = 15.0
"""That Ray and its workers take to start on an idle machine, about."""

TRIAL_SECONDS = 0.4
"""That Tune, the study and the store take for a trial, about: two busy cores ended five tiny trials in two seconds."""

CHECKPOINT_BYTES = 5
"""A weight in what a trial goes on from: a float32 number and a mask."""


@dataclass(frozen=True)
class Outlook:
    """What a search would take.

    Attributes:
        timing: Of the task's parts.
        trials: Recipes to try.
        rounds: Of the longest trial.
        slots: What a trial gets, and how many run at once.
        dense_seconds: Until the dense network is trained; 0 where it is.
        dense_epochs: Of that training.
        trial_seconds: Of a trial that runs all of its rounds, in the mean over the space's choices.
        disk_bytes: Of the search's folder, about.
        limit: Wall time after which the search stops, if any.
    """

    timing: Timing
    trials: int
    rounds: int
    slots: Slots
    dense_seconds: float
    dense_epochs: float
    trial_seconds: float
    disk_bytes: int
    limit: float | None

    @property
    def trials_seconds(self) -> float:
        """Of all trials."""
        return math.ceil(self.trials / self.slots.concurrent) * self.trial_seconds

    @property
    def seconds(self) -> float:
        """Of the whole search, with its limit."""
        whole = RAY_SECONDS + self.dense_seconds + self.trials_seconds
        return whole if self.limit is None else min(whole, self.limit)

    @property
    def trials_an_hour(self) -> float:
        """With as many at once as there is room for."""
        return 3600 * self.slots.concurrent / max(self.trial_seconds, 1e-9)

    @property
    def summary(self) -> str:
        """In half a sentence: ``about 40 min for 40 trials here``."""
        plural = "s" * (self.trials != 1)
        return f"about {_about(self.seconds)} for {self.trials} trial{plural} here"

    def record(self) -> dict[str, Any]:
        """The same for programs; times in seconds."""
        return {
            "trials": self.trials,
            "rounds": self.rounds,
            "at_once": self.slots.concurrent,
            "cpu": self.slots.cpu,
            "gpu": self.slots.gpu,
            "dense_seconds": self.dense_seconds,
            "trial_seconds": self.trial_seconds,
            "seconds": self.seconds,
            "disk_bytes": self.disk_bytes,
        }

    def lines(self) -> Iterator[str]:
        """The phases, and what they take."""
        if self.dense_seconds:
            yield f"training the dense network, {self.dense_epochs:g} epochs: {format_duration(self.dense_seconds)}"
        else:
            yield "the dense network is trained already"
        yield f"starting Ray: about {_about(RAY_SECONDS)}"
        gpu = f" and {self.slots.gpu:g} GPU" if self.slots.gpu else ""
        yield (
            f"{self.trials} trial{'s' * (self.trials != 1)} of up to {self.rounds} round{'s' * (self.rounds != 1)}, "
            f"{self.slots.concurrent} at a time on {self.slots.cpu:g} core{gpu} each: "
            f"{_about(self.trials_seconds)}, {_rough(self.trials_an_hour)} an hour"
        )
        timing = self.timing
        epoch = f"an epoch {format_duration(timing.epoch)}, " if timing.epoch else "no retraining, "
        yield (
            f"of a round: {epoch}pruning, quantising and coding {format_duration(timing.rest)}, evaluation "
            f"{format_duration(timing.evaluation)}"
        )
        yield f"disk: about {format_size(self.disk_bytes)}"
        if self.limit is not None:
            yield f"it stops after {format_duration(self.limit)}"


def look_ahead(file: SearchFile, task: Task, *, trials: int | None = None, limit: float | None = None) -> Outlook:
    """Time a search's parts on this machine.

    Args:
        file: A search file that leaves nothing open.
        task: Its task, which has been tried out.
        trials: Instead of the file's number.
        limit: Wall time instead of the file's, in seconds.
    """
    places = local_slots(file)
    device = choose_device() if places.gpu else torch.device("cpu")
    recipes = samples_of(file.space)
    timing = time_task(task, recipes[0], device, threads=places.threads)
    trial = TRIAL_SECONDS + sum(timing.trial(recipe) for recipe in recipes) / len(recipes)
    rounds = max(recipe.pruning.rounds for recipe in recipes)
    trained = task.is_trained
    epochs = 0.0 if trained else task.training.epochs
    count = trials or file.trials
    weights = sum(parameter.numel() for parameter in task.fresh_network().parameters())
    return Outlook(
        timing=timing,
        trials=count,
        rounds=rounds,
        slots=places,
        dense_seconds=epochs * timing.epoch,
        dense_epochs=epochs,
        trial_seconds=trial,
        disk_bytes=count * rounds * timing.file_bytes + places.concurrent * weights * CHECKPOINT_BYTES,
        limit=limit if limit is not None else file.search.time,
    )


def local_slots(file: SearchFile) -> Slots:
    """What a Ray of this machine's own would give to a trial."""
    resources = file.resources
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    share = resources.gpu if gpus else 0.0
    fit = max(1, math.floor(available_cores() / resources.cpu + 1e-9))
    if share:
        fit = min(fit, gpus * math.floor(1 / share + 1e-9))
    return Slots(resources.cpu, share, min(fit, resources.concurrent or fit))


def _about(seconds: float) -> str:
    """A duration as exact as it can be foreseen: to five seconds, to a minute, or to a twelfth of an hour."""
    if seconds < 60:
        return f"{max(5, 5 * round(seconds / 5))} s"
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    return format_duration(300 * round(seconds / 300))


def _rough(number: float) -> str:
    """A number in two digits."""
    digits = 10 ** max(0, math.floor(math.log10(max(number, 1))) - 1)
    return f"{round(number / digits) * digits:,}"
