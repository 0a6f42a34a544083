"""The dense network of a search, trained and scored where the GPUs are."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rdsearch.base.device import choose_device, release_gpu
from rdsearch.base.terminal import say
from rdsearch.base.units import format_duration
from rdsearch.base.voice import phase
from rdsearch.compression.measure import Baseline, measure_baseline
from rdsearch.errors import RdsearchError, SearchStoppedError
from rdsearch.search.run.cluster import has_gpu
from rdsearch.search.run.session import ray_session
from rdsearch.tasks.task import Task
from rdsearch.tasks.weights.state import State

if TYPE_CHECKING:
    from rich.console import Console

_SECONDS_BETWEEN_EPOCHS = 15.0
"""Between two lines about them in a log."""


@dataclass(frozen=True)
class Baselines:
    """The dense network's figures.

    Attributes:
        whole: On the whole validation part.
        seen: On what the trials are scored on.
    """

    whole: Baseline
    seen: Baseline


def prepare_dense(task: Task, address: str | None, console: Console) -> Baselines:
    """Train the dense network where it is not trained, and score it.

    This is done here; on a cluster that has GPUs, while this machine has none, on one of its nodes.

    Args:
        task: The search's; it has its dense weights afterwards.
        address: The Ray cluster, if there is one.
        console: Where it is said what is done.

    Raises:
        SearchStoppedError: The node was lost, again and again, or cannot do the work.
        TaskError: The network cannot be trained.
    """
    if address is not None and choose_device().type == "cpu":
        with ray_session(address):
            if has_gpu():
                say(console, f"The dense network of {task.name} is trained and scored on a node with a GPU …")
                return _there(task)
    train_dense(task, console)
    with phase(console, "measuring the dense network"):
        found = _measured(task)
    # The trials need the GPU now.
    task.release_data()
    release_gpu()
    return found


def train_dense(task: Task, console: Console) -> None:
    """Have the dense network trained where it is not, and say so epoch by epoch: all of them on a terminal."""
    if task.is_trained:
        task.dense_state()
        return
    told = time.monotonic()
    with phase(console, f"training the dense network of {task.name}") as show:

        def progress(epoch: Any) -> None:
            nonlocal told
            left = format_duration(epoch.seconds * (epoch.of - epoch.number))
            line = f"training the dense network: epoch {epoch.number}/{epoch.of}, loss {epoch.loss:.4f}, {left} left"
            show(line)
            if not console.is_terminal and time.monotonic() - told >= _SECONDS_BETWEEN_EPOCHS:
                told = time.monotonic()
                say(console, f"  {line}")

        task.dense_state(progress=progress)


def _measured(task: Task) -> Baselines:
    whole = measure_baseline(task, choose_device())
    return Baselines(whole, measure_baseline(task.on_subset(), choose_device()) if task.has_subset else whole)


def _work(task: Task) -> tuple[State, Baselines]:
    return task.dense_state(), _measured(task)


def _there(task: Task) -> Baselines:
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        work = ray.remote(_work).options(num_cpus=1, num_gpus=1, max_retries=2)
        state, found = ray.get(work.remote(task.without_test()))
    except RayTaskError as error:
        if isinstance(error.cause, RdsearchError):
            raise error.cause from None
        last = [line.strip() for line in str(error).splitlines() if line.strip()][-1]
        raise SearchStoppedError(f"the dense network cannot be trained on a node with a GPU: {last}") from None
    except RayError as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise SearchStoppedError(f"the node that trained the dense network was lost: {lines[0]}") from None
    if task.trains_dense:
        task.use_dense({name: _own(array) for name, array in state.items()})
    return found


def _own(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A copy, since Ray's memory goes when the connection ends."""
    copy = np.array(array)
    copy.flags.writeable = False
    return copy
