from __future__ import annotations

import time

import pytest
import torch

from rdsearch.compression.timing import Timing, time_task
from rdsearch.config.recipe import Recipe
from rdsearch.tasks.task import Task

CPU = torch.device("cpu")


def test_a_trial_is_its_rounds() -> None:
    timing = Timing(evaluation=0.5, epoch=2.0, rest=1.0, file_bytes=100)
    recipe = Recipe.model_validate({"pruning": {"rounds": 3}, "retrain": {"epochs": 2}})
    assert timing.trial(recipe) == pytest.approx(3 * (0.5 + 1.0 + 2 * 2.0))


def test_timing_is_that_of_the_whole_parts(digits_task: Task) -> None:
    timing = time_task(digits_task, Recipe.model_validate({"pruning": {"rounds": 2}}), CPU)
    started = time.perf_counter()
    digits_task.score(digits_task.fresh_network())
    whole = time.perf_counter() - started
    assert whole / 20 < timing.evaluation < whole * 20
    assert timing.epoch > 0
    assert timing.rest > 0
    assert 100 < timing.file_bytes < 100_000


def test_timing_leaves_threads_and_random_numbers_alone(digits_task: Task) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    time_task(digits_task, Recipe(), CPU, threads=2)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.rand(1), wanted)
