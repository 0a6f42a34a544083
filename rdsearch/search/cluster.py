"""Ray, started quietly and left without a trace; and what of a trial fits on it."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdsearch.config import ResourceConfig
from rdsearch.errors import SearchError

_TEMPORARY = Path("/tmp")  # noqa: S108 - Ray's own default
_PREFIX = "rdsearch-ray-"
_CONNECT_SECONDS = 10
_JOIN_SECONDS = 300
"""A node of a cluster that is just starting is waited for as long as this."""
_LOOK_SECONDS = 2.0
_ROUNDING = 1e-9
_QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Tune's own snapshots, of which nothing is read, take up to a twentieth of its loop's time.
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
}


@dataclass(frozen=True, slots=True)
class Slots:
    """What one trial gets, and how many run at once."""

    cpu: float
    gpu: float
    concurrent: int

    @property
    def threads(self) -> int:
        """Threads that a trial's torch may use."""
        return max(1, math.floor(self.cpu))


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@contextlib.contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """A Ray to run trials on: the one at ``address``, the one that is connected already, or one of our own.

    A Ray that was started here ends here, and its session folder, which Ray itself never removes, goes too.

    Raises:
        SearchError: There is no Ray at ``address``, this process is connected to another one, or none could be
            started here.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    with _without_tracebacks():
        if ray.is_initialized():
            _check_connected_to(address)
            yield
            return
        with _own_session(address):
            yield


@contextlib.contextmanager
def _without_tracebacks() -> Iterator[None]:
    """Tune reports trials that failed as log lines with tracebacks; they are in the trials' own folders."""
    logger = logging.getLogger("ray.tune")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def _own_session(address: str | None) -> Iterator[None]:
    import ray

    folder = None
    try:
        if address is None:
            folder = _session_folder()
            _start(folder)
        else:
            _connect(address)
        yield
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path) -> None:
    import ray

    try:
        with _own_process_groups():
            ray.init(
                address="local",
                num_cpus=available_cores(),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=str(folder),
            )
    except (OSError, RuntimeError, TimeoutError) as error:
        raise SearchError(
            f"Ray could not be started on this machine: {error}; it may be too busy or out of memory: try again "
            "(`rdsearch resume` where the search has begun)"
        ) from None


@contextlib.contextmanager
def _own_process_groups() -> Iterator[None]:
    """What Ray starts inside leads process groups of its own.

    A signal to the group of this process (`timeout`, a batch system, a supervisor) would end Ray before this
    process can end the search. Ray has no option for it; its processes still die with this one, by the
    kernel's parent-death signal.
    """
    from ray._private import services

    started_by_ray = services.ConsolePopen

    def start(*args: Any, **options: Any) -> Any:
        return started_by_ray(*args, **{"process_group": 0, **options})

    vars(services)["ConsolePopen"] = start
    try:
        yield
    finally:
        vars(services)["ConsolePopen"] = started_by_ray


def _session_folder() -> Path:
    """A folder for Ray's session that names its process; those of processes that were killed are removed."""
    # Not the user's TMPDIR: the sockets below it must have paths of less than 108 characters.
    for old in _TEMPORARY.glob(f"{_PREFIX}*-*"):
        process = old.name.removeprefix(_PREFIX).partition("-")[0]
        if process.isdigit() and not _is_alive(int(process)):
            shutil.rmtree(old, ignore_errors=True)  # another user's folder withstands it
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_TEMPORARY))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _check_connected_to(address: str | None) -> None:
    """A process has one Ray; another address would be of no effect."""
    import ray
    from ray._private.services import canonicalize_bootstrap_address as canonical

    if address is None or address == "auto" or "://" in address:
        return
    connected = ray.get_runtime_context().gcs_address
    with contextlib.suppress(ValueError, OSError):
        if canonical(address) == canonical(connected):
            return
    raise SearchError(
        f"this process is connected to Ray at {connected} already, and {address} is another: leave the address out to "
        "search there, or call ray.shutdown() first"
    )


def _connect(address: str) -> None:
    import ray

    host, _, port = address.rpartition(":")
    try:
        if port.isdigit() and "/" not in host:
            # Ray itself would try for minutes.
            socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise SearchError(
            f"no Ray cluster answers at {address!r}: {error}; start one with `ray start --head`, or leave --address "
            "out; one that asks for a token needs RAY_AUTH_MODE=token and the same token file here"
        ) from None


def slots(resources: ResourceConfig, *, grows: bool = False) -> Slots:
    """How many trials the connected Ray can run at once, and on what.

    A trial runs on one node. Whether it gets a share of a GPU depends on the nodes that are there when the search
    begins: with no GPU among them it runs on processors alone.

    Args:
        resources: What a trial takes.
        grows: Whether nodes may join later. One that holds a trial is then asked of the autoscaler and waited for,
            and ``resources.concurrent`` counts for nodes that are not there yet.

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
        _ask_for_nodes([{"CPU": resources.cpu} | ({"GPU": gpu} if gpu else {})])
        asked = True
        time.sleep(_LOOK_SECONDS)
    if resources.concurrent is None:
        return Slots(resources.cpu, gpu, fit)
    return Slots(resources.cpu, gpu, resources.concurrent if grows else min(fit, resources.concurrent))


def _nodes() -> list[dict[str, float]]:
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _fitting(node: dict[str, float], cpu: float, gpu: float) -> int:
    """Trials that a node holds; a share of a GPU does not stretch over two of them."""
    count = math.floor(node.get("CPU", 0.0) / cpu + _ROUNDING)
    if not gpu:
        return count
    gpus = int(node.get("GPU", 0.0))
    return min(count, gpus * math.floor(1 / gpu + _ROUNDING) if gpu <= 1 else gpus // int(gpu))


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
