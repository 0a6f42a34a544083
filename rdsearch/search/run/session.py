"""Ray, started quietly and left without a trace; or one that is there already."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rdsearch.errors import SearchError
from rdsearch.search.run.cluster import available_cores
from rdsearch.search.run.log import worker_lines
from rdsearch.search.run.nodes import own_modules
from rdsearch.search.run.signals import listeners_restored

_TEMPORARY = Path("/tmp")  # noqa: S108 - Ray's own default
_PREFIX = "rdsearch-ray-"
_LOOPBACK = "127.0.0.1"
_CONNECT_SECONDS = 10
_START_SECONDS = 120.0
"""So long a busy machine may take to start Ray, which itself gives up after 30."""
_PORTS = (20_000, 32_000)
_UNUSED_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")
"""Of agents of a node, without a dashboard; Ray's own mark for that is -1."""
_WORKERS = {"RAY_CHDIR_TO_TRIAL_DIR": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""What workers need in their environment, wherever they run."""
_QUIET = {
    **_WORKERS,
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Tune's own snapshots, of which nothing is read, take up to a twentieth of its loop's time.
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
}


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

    with _unseen():
        if ray.is_initialized():
            _check_connected_to(address)
            yield
            return
        with _own_session(address):
            yield


@contextlib.contextmanager
def _unseen() -> Iterator[None]:
    """Of Ray's log lines a user sees errors alone, and none of Tune's, which reports failed trials by tracebacks.

    The lines are there all the same, for the search's log.
    """
    from ray._private.log import PlainRayHandler

    handlers = [one for one in logging.getLogger("ray").handlers if isinstance(one, PlainRayHandler)]
    for handler in handlers:
        handler.addFilter(_is_for_users)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(_is_for_users)


def _is_for_users(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR and not record.name.startswith("ray.tune")


@contextlib.contextmanager
def _lines_logged() -> Iterator[None]:
    """What workers write to their standard output and error, which Ray would print here, goes to the search's log."""
    from ray._private import worker

    changed = vars(worker)
    before = changed["print_to_stdstream"]
    changed["print_to_stdstream"] = lambda data, **_: worker_lines(data)
    try:
        yield
    finally:
        changed["print_to_stdstream"] = before


@contextlib.contextmanager
def _own_session(address: str | None) -> Iterator[None]:
    import ray

    folder = None
    try:
        if address is None:
            folder = _session_folder()
            with _own_token():
                try:
                    _start(folder)
                    yield
                finally:
                    ray.shutdown()
        else:
            _connect(address)
            yield
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def abandon_session() -> None:
    """End at once what is left of a Ray that was started here: a shutdown in good order would wait for it."""
    import ray._private.worker as worker

    node = worker._global_node
    if node is None or not node.is_head():
        return
    node.kill_all_processes(check_alive=False, allow_graceful=False)
    folder = Path(node.get_temp_dir_path()).parent
    if folder.name.startswith(_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _own_token() -> Iterator[None]:
    """Whoever talks to the Ray inside has a token that is made for it and that no file holds.

    That is so whatever the environment says, which may speak of a cluster, or of no tokens at all.
    """
    from ray import _raylet

    compiled: Any = _raylet

    def read_again() -> None:
        compiled.Config.initialize("")
        compiled.AuthenticationTokenLoader.instance().reset_cache()

    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    read_again()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        read_again()


@listeners_restored()
def _start(folder: Path) -> None:
    import ray

    try:
        with _apart(), _lines_logged():
            ray.init(
                address="local",
                num_cpus=available_cores(),
                include_dashboard=False,
                log_to_driver=True,
                logging_level=logging.INFO,  # for the search's log; `_unseen` has what a user sees of it
                # Ray lets everybody into its folder; nobody gets past the one around it.
                _temp_dir=str(folder / "ray"),
                _node_ip_address=_LOOPBACK,
            )
    except Exception as error:  # a node that does not start in time is a plain Exception to Ray
        raise SearchError(
            f"Ray could not be started on this machine: {error}; it may be too busy or out of memory: try again "
            "(`rdsearch resume` where the search has begun)"
        ) from None


@contextlib.contextmanager
def _apart() -> Iterator[None]:
    """What Ray starts inside leads process groups of its own, listens on the loopback interface alone, and may be slow.

    A signal to the group of this process (`timeout`, a batch system, a supervisor) would end Ray before this
    process can end the search. And Ray puts an address that others can reach in place of ``127.0.0.1``. It has no
    options for either; its processes still die with this one, by the kernel's parent-death signal.

    Nor has it an option to do without two processes, which take seconds to start and 90 MB each: the head of a
    dashboard that is not included, and an autoscaler for one machine. And its node manager would wait until two agents
    have said which ports they took, and abort after 15 seconds, which a busy machine needs: it is told before.
    """
    from ray import _raylet
    from ray._private import services
    from ray._private.node import Node

    node_of: Any = services.get_node
    popen, raylet = services.ConsolePopen, Node.start_raylet
    persist_port: Any = vars(_raylet)["persist_port"]
    deadline = time.monotonic() + _START_SECONDS
    started: list[Any] = []

    def start(*args: Any, **options: Any) -> Any:
        started.append(popen(*args, **{"process_group": 0, **options}))
        return started[-1]

    def start_raylet(node: Any, *args: Any, **options: Any) -> None:
        for name in _UNUSED_PORTS:
            persist_port(node._session_dir, node._node_id, name, -1)
        node._ray_params.runtime_env_agent_port = _free_port()
        raylet(node, *args, **options)

    def node_in_time(*args: Any) -> Any:
        while True:
            try:
                return node_of(*args)
            except RuntimeError:  # it is not there yet
                if time.monotonic() > deadline or any(process.poll() is not None for process in started):
                    raise
                time.sleep(0.1)

    def nothing(node: Any, **_: Any) -> None:
        """In place of a method that starts a process."""

    changes: list[tuple[Any, str, Any]] = [
        (services, "ConsolePopen", start),
        (services, "resolve_ip_for_localhost", lambda host: host),
        (Node, "start_raylet", start_raylet),
        (services, "get_node", node_in_time),
        *((Node, name, nothing) for name in ("start_monitor", "start_api_server")),
    ]
    with contextlib.ExitStack() as undo:
        for where, name, value in changes:
            undo.callback(setattr, where, name, getattr(where, name))
            setattr(where, name, value)
        yield


def _free_port() -> int:
    """A port at which nobody listens here, not of those that the kernel hands out."""
    while True:
        port = random.randrange(*_PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((_LOOPBACK, port))
            return port


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


@listeners_restored()
def _connect(address: str) -> None:
    import ray

    host, _, port = address.rpartition(":")
    modules = sorted(str(path) for path in own_modules().values())
    try:
        if port.isdigit() and "/" not in host:
            # Ray itself would try for minutes.
            socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
        with _lines_logged():
            ray.init(
                address=address,
                log_to_driver=True,
                logging_level=logging.INFO,
                # Its nodes were started with an environment of their own, and the user's modules are here.
                runtime_env={"env_vars": _WORKERS} | ({"py_modules": modules} if modules else {}),
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise SearchError(
            f"no Ray cluster answers at {address!r}: {error}; start one with `ray start --head`, or leave --address "
            "out; one that asks for a token needs RAY_AUTH_MODE=token and the same token file here"
        ) from None
