"""What of a trial fits on the connected Ray."""

from __future__ import annotations

import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from rdsearch.base.units import format_duration
from rdsearch.config.searchfile import ResourceConfig
from rdsearch.errors import SearchError

_JOIN_SECONDS = 300
"""A node of a cluster that is just starting is waited for as long as this."""
_RETURN_SECONDS = 3600
"""So long a search in the middle waits for a node that holds a trial, once all have gone."""
_LOOK_SECONDS = 2.0
_FOLLOW_SECONDS = 5.0
"""Time between two looks at the nodes of a cluster that is followed."""
_MANY = 2**16
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Slots:
    """What one trial gets, and how many run at once.

    Attributes:
        cpu: Cores of a trial.
        gpu: Share of a GPU, or GPUs, of a trial.
        concurrent: Trials at once: all that there may be, or all that the nodes held when this was looked up.
        grows: Whether nodes come and go.
        limited: Whether there are never more trials than ``concurrent``, whatever nodes come.
    """

    cpu: float
    gpu: float
    concurrent: int
    grows: bool = False
    limited: bool = True

    @property
    def threads(self) -> int:
        """Threads that a trial's torch may use."""
        return max(1, math.floor(self.cpu))


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def slots(resources: ResourceConfig, *, grows: bool = False, tell: Callable[[str], None] = print) -> Slots:
    """How many trials the connected Ray can run at once, and on what.

    A trial runs on one node. Whether it gets a share of a GPU depends on the nodes that are there when the search
    begins: with no GPU among them it runs on processors alone.

    Args:
        resources: What a trial takes.
        grows: Whether nodes may join later. One that holds a trial is then asked of the autoscaler and waited for,
            and ``resources.concurrent`` counts for nodes that are not there yet.
        tell: Gets the line that says what is waited for.

    Raises:
        SearchError: No node holds a trial; Ray would wait for ever.
    """
    deadline, asked = time.monotonic() + (_JOIN_SECONDS if grows else 0), False
    while True:
        nodes = _nodes()
        gpu = resources.gpu if any(node.get("GPU") for node in nodes) else 0.0
        fit = sum(_fitting(node, resources.cpu, gpu) for node in nodes)
        if asked and (fit or time.monotonic() >= deadline):
            # Else the autoscaler would keep such a node for ever.
            _ask_for_nodes([])
        if fit:
            break
        if time.monotonic() >= deadline:
            raise SearchError(
                f"a trial asks for {resources.cpu:g} cores and {gpu:g} GPUs on one node, and Ray's nodes have "
                f"{_described(nodes)}: lower resources.cpu or resources.gpu, or add a node that holds a trial"
            )
        if not asked:
            tell(_waiting("no node of the cluster holds a trial yet", resources.cpu, gpu, _JOIN_SECONDS))
        _ask_for_nodes([_trial(resources.cpu, gpu)])
        asked = True
        time.sleep(_LOOK_SECONDS)
    if resources.concurrent is None:
        return Slots(resources.cpu, gpu, fit, grows, limited=not grows)
    return Slots(resources.cpu, gpu, resources.concurrent if grows else min(fit, resources.concurrent), grows)


class Room:
    """How many trials there may be at once: a fixed number, or what the nodes hold that are there now.

    Args:
        places: What a trial takes, and how many there may be.
    """

    def __init__(self, places: Slots) -> None:
        self._places = places
        self._fit = places.concurrent
        self._next_look = time.monotonic()

    @property
    def alone(self) -> bool:
        """Whether there is never more than one trial."""
        return self.at_most == 1

    @property
    def at_most(self) -> int:
        """What the number never exceeds."""
        return self._places.concurrent if self._places.limited else _MANY

    @property
    def running(self) -> int:
        """Trials that the nodes hold."""
        if self._places.grows and time.monotonic() >= self._next_look:
            self._fit = sum(_fitting(node, self._places.cpu, self._places.gpu) for node in _nodes())
            self._next_look = time.monotonic() + _FOLLOW_SECONDS
        return min(self._fit, self.at_most)

    @property
    def handed_out(self) -> int:
        """Trials that may be running or waiting for a node.

        Where the number follows the nodes, it is one more than they hold: an autoscaler hears of one that waits.
        """
        return self.at_most if self._places.limited else self.running + 1


class Desertion:
    """The times in which no node of a cluster holds a trial, because all such nodes have gone.

    Args:
        room: What the nodes hold.
        places: What a trial takes.
        tell: Gets a line when such a time begins, and when it ends.

    Attributes:
        reason: Why the search has to stop, once no node has come for an hour; empty until then.
    """

    def __init__(self, room: Room, places: Slots, tell: Callable[[str], None]) -> None:
        self._room = room
        self._places = places
        self._tell = tell
        self._since: float | None = None
        self.reason = ""

    def look(self) -> None:
        """See whether there is a node that holds a trial."""
        cpu, gpu = self._places.cpu, self._places.gpu
        if self._room.running:
            if self._since is not None:
                self._tell(
                    f"a node that holds a trial has joined after {format_duration(time.monotonic() - self._since)}"
                )
            self._since = None
        elif self._since is None:
            self._since = time.monotonic()
            self._tell(_waiting("every node of the cluster that held a trial has gone", cpu, gpu, _RETURN_SECONDS))
        elif time.monotonic() - self._since >= _RETURN_SECONDS:
            self.reason = (
                f"no node of the cluster has held a trial ({_described([_trial(cpu, gpu)])}) for "
                f"{format_duration(_RETURN_SECONDS)}: have one join"
            )


def _waiting(fact: str, cpu: float, gpu: float, seconds: float) -> str:
    return f"{fact} ({_described([_trial(cpu, gpu)])}): waiting up to {format_duration(seconds)} for one to join"


def _trial(cpu: float, gpu: float) -> dict[str, float]:
    return {"CPU": cpu} | ({"GPU": gpu} if gpu else {})


def _nodes() -> list[dict[str, float]]:
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def has_gpu() -> bool:
    """Whether a node of the connected Ray has a GPU."""
    return any(node.get("GPU", 0.0) >= 1 for node in _nodes())


def _fitting(node: dict[str, float], cpu: float, gpu: float) -> int:
    """Trials that a node holds; a share of a GPU does not stretch over two of them."""
    count = math.floor(node.get("CPU", 0.0) / cpu + _ROUNDING)
    if not gpu:
        return count
    return min(count, int(node.get("GPU", 0.0)) * math.floor(1 / gpu + _ROUNDING))


def _described(nodes: list[dict[str, float]]) -> str:
    kinds = Counter((node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in nodes)
    return ", ".join(
        f"{cpus:g} cores and {gpus:g} GPUs" + (f" ({count} nodes)" if count > 1 else "")
        for (cpus, gpus), count in sorted(kinds.items())
    )


def _ask_for_nodes(bundles: list[dict[str, float]]) -> None:
    """Without an autoscaler nobody listens, and a node may join all the same."""
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=bundles)
