"""Whether the nodes of a cluster can do a trial's work: each is looked at once, when it is first seen."""

from __future__ import annotations

import contextlib
import importlib
import platform
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rdsearch.errors import SearchStoppedError
from rdsearch.search.store.places import Place

_PATIENCE_SECONDS = 120.0
"""A node that is busy, or fetches the user's modules, answers late; one that never does is no worse than a lost one."""
_SAME = ("rdsearch", "torch")
_PYTHON = "Python"


def own_modules() -> dict[str, Path]:
    """The modules of the user's that are loaded here, by name: those whose files lie in the working directory.

    A package is its folder. Nodes import them from what Ray's runtime environment brings there.
    """
    here = Path.cwd()
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if "." in name or name in ("__main__", "rdsearch") or file is None:
            continue
        path = Path(file).absolute()
        installed = {"site-packages", "dist-packages"} & set(path.parts)
        if path.is_relative_to(here) and not installed and path.suffix == ".py":
            found[name] = path.parent if path.name == "__init__.py" else path
    return found


@dataclass(frozen=True)
class Needs:
    """What a node must have.

    Attributes:
        versions: Of Python, and of the packages that compute, as on the driver.
        modules: Names of the user's modules.
        place: Where rounds are stored.
        token: What lies there under `Needs.sign`.
    """

    versions: dict[str, str]
    modules: tuple[str, ...]
    place: Place
    token: str

    @property
    def sign(self) -> str:
        """Name of the file that shows a node that it sees the same place."""
        return ".driver"


def versions() -> dict[str, str]:
    """The versions here; what comes after a ``+``, such as ``+cpu``, may differ between nodes."""
    found = {_PYTHON: ".".join(platform.python_version_tuple()[:2])}
    for name in _SAME:
        try:
            found[name] = version(name).partition("+")[0]
        except PackageNotFoundError:
            found[name] = "none"
    return found


def needs(place: Place) -> Needs:
    """What nodes must have to work for this process; puts a sign into the place that they look for."""
    found = Needs(versions(), tuple(own_modules()), place, uuid.uuid4().hex)
    place.write(found.sign, found.token.encode())
    return found


def fault_here(needs: Needs) -> str:
    """What this node lacks, in words that follow its address; empty if nothing."""
    here = versions()
    other = [
        f"{name} {here[name]} and the driver {wanted}"
        for name, wanted in needs.versions.items()
        if here[name] != wanted
    ]
    if other:
        return f"has {', '.join(other)}: install the same on both, or take the node away"
    for name in needs.modules:
        try:
            importlib.import_module(name)
        except Exception as error:
            return f"cannot import {name} ({type(error).__name__}: {error}): install what it needs there"
    return _storage_fault(needs)


def _storage_fault(needs: Needs) -> str:
    where = needs.place.where("")
    try:
        seen = needs.place.read(needs.sign).decode(errors="replace")
    except FileNotFoundError:
        seen = ""
    except Exception as error:
        return f"cannot read {where} ({error}): give it the driver's credentials"
    if seen != needs.token:
        return f"does not see {where}: mount the folder there at the same path, or keep the search in an object store"
    mine = f"{needs.sign}-{uuid.uuid4().hex[:12]}"
    try:
        needs.place.write(mine, b"")
        needs.place.remove(mine)
    except Exception as error:
        return f"cannot write to {where} ({error}): give it the right to"
    return ""


class NodeCheck:
    """Looks at the nodes of the connected cluster.

    Args:
        needs: What they must have.

    Attributes:
        fault: What the first node that cannot do the work lacks, in a sentence; empty while there is none.
    """

    def __init__(self, needs: Needs) -> None:
        self._needs = needs
        self._seen: set[str] = set()
        self._asked: dict[Any, str] = {}
        self.fault = ""

    def look(self) -> None:
        """Ask nodes that are new, and hear those that were asked."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        for node in ray.nodes():  # type: ignore[no-untyped-call]
            identity = node["NodeID"]
            if not node["Alive"] or identity in self._seen or not node["Resources"].get("CPU"):
                continue
            self._seen.add(identity)
            there = NodeAffinitySchedulingStrategy(identity, soft=False)
            task = ray.remote(fault_here).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
            self._asked[task.remote(self._needs)] = node["NodeManagerAddress"]
        self._hear(0.0)

    def wait(self) -> None:
        """Hear all nodes that were asked."""
        self.look()
        self._hear(_PATIENCE_SECONDS)

    def _hear(self, seconds: float) -> None:
        import ray

        deadline = time.monotonic() + seconds
        while self._asked and not self.fault:
            left = max(0.0, deadline - time.monotonic())
            done, _ = ray.wait(list(self._asked), timeout=left)
            for answer in done:
                address = self._asked.pop(answer)
                fault = _answer(answer)
                if fault:
                    self.fault = self.fault or f"the node at {address} {fault}"
            if not done:
                return


@contextlib.contextmanager
def checked_nodes(place: Place) -> Iterator[NodeCheck]:
    """Look at the nodes that are there now, and go on with it inside; nothing is left in the place.

    Args:
        place: Where rounds are stored.

    Raises:
        SearchStoppedError: One of them cannot do the work.
    """
    wanted = needs(place)
    try:
        check = NodeCheck(wanted)
        check.wait()
        if check.fault:
            raise SearchStoppedError(check.fault)
        yield check
    finally:
        with contextlib.suppress(OSError):
            place.remove(wanted.sign)


def _answer(answer: Any) -> str:
    import ray
    from ray.exceptions import NodeDiedError, RayError, RayTaskError, RuntimeEnvSetupError, TaskUnschedulableError

    try:
        return str(ray.get(answer))
    except (NodeDiedError, TaskUnschedulableError):
        return ""  # it is gone again
    except RuntimeEnvSetupError as error:
        return f"could not be sent the search's modules ({_last_line(error)}): install them there"
    except RayTaskError as error:
        return f"cannot load the search ({_last_line(error)}): install the same rdsearch there as here"
    except RayError:
        return ""  # its worker was lost, as any worker may be


def _last_line(error: Exception) -> str:
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
