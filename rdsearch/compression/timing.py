"""How long a task's parts take here: an evaluation, an epoch, and what else a round does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from rdsearch.base.randomness import isolated_rng
from rdsearch.compression.measure import dense_network, unscored_baseline
from rdsearch.compression.rounds import rounds
from rdsearch.config.recipe import Recipe
from rdsearch.tasks.task import Task
from rdsearch.tasks.training.stepper import Loss
from rdsearch.tasks.training.train import train

FIRST_EXAMPLES, GROWTH = 64, 4
ENOUGH_SECONDS = 0.3
"""A pass over fewer examples than take so long is repeated with `GROWTH` times as many."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that a task takes on one device.

    Attributes:
        evaluation: One pass over the validation part.
        epoch: One pass of training over the training part; 0 where the network cannot be trained.
        rest: What else a round does: pruning, calibration, quantising, coding and decoding.
        file_bytes: Of the file that the round made.
    """

    evaluation: float
    epoch: float
    rest: float
    file_bytes: int

    def trial(self, recipe: Recipe) -> float:
        """Seconds of a trial that runs all of its rounds."""
        epochs = recipe.retrain.epochs + recipe.quantization.training.epochs
        return recipe.pruning.rounds * (self.rest + self.evaluation + epochs * self.epoch)


def time_task(task: Task, recipe: Recipe, device: torch.device, *, threads: int = 1) -> Timing:
    """Time a task's parts on as few examples as tell; nothing is written, and the dense network not trained.

    Args:
        task: What a search would compress; tried out before, so that what is compiled once has been.
        recipe: Its first round is carried out, without training.
        device: Where to compute.
        threads: That torch may use of a CPU, as in a trial.
    """
    with _threads(threads), isolated_rng(0):
        evaluation, seen = _evaluation(task, device)
        epoch = 0.0 if task.loss is None else _epoch(task, recipe, device, task.loss)
        first = recipe.cut(1)
        still = first.model_copy(
            update={
                "retrain": first.retrain.model_copy(update={"epochs": 0.0}),
                "quantization": first.quantization.model_copy(
                    update={"training": first.quantization.training.model_copy(update={"epochs": 0.0})}
                ),
            }
        )
        glimpse = task.glimpse(max(seen, recipe.quantization.calibration, recipe.pruning.calibration))
        point, _ = next(rounds(glimpse, still, device=device, baseline=unscored_baseline(task)))
    scored = evaluation * len(glimpse.validation) / len(task.validation)
    return Timing(evaluation, epoch, max(point.seconds - scored, 0.0), point.size_bytes)


def _evaluation(task: Task, device: torch.device) -> tuple[float, int]:
    """Seconds for the whole validation part, and the examples that were enough to tell."""
    examples = FIRST_EXAMPLES
    while True:
        glimpse = task.glimpse(examples)
        network = dense_network(glimpse).to(device)
        started = time.perf_counter()
        glimpse.score(network, device=device)
        took = time.perf_counter() - started
        whole = len(glimpse.validation) >= len(task.validation)
        if took >= ENOUGH_SECONDS or whole:
            return took * len(task.validation) / len(glimpse.validation), examples
        examples *= GROWTH


def _epoch(task: Task, recipe: Recipe, device: torch.device, loss: Loss) -> float:
    """Seconds of a pass over the whole training part."""
    examples = max(FIRST_EXAMPLES, recipe.retrain.batch_size)
    config = recipe.retrain.model_copy(update={"epochs": 1.0})
    while True:
        glimpse = task.glimpse(examples)
        network = dense_network(glimpse).to(device)
        started = time.perf_counter()
        train(network, glimpse.train, config, device=device, loss=loss)
        took = time.perf_counter() - started
        if took >= ENOUGH_SECONDS or len(glimpse.train) >= len(task.train):
            return took * len(task.train) / len(glimpse.train)
        examples *= GROWTH


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
