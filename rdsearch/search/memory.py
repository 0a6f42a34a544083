"""Whether a machine's memory holds a search's trials, said before any work."""

from __future__ import annotations

import os
from pathlib import Path

from rdsearch.base.units import format_size

USABLE = 0.95
"""Of the memory: beyond it Ray kills workers."""
WORKER = 750_000_000
"""Bytes of a worker that has loaded nothing yet but torch, Ray and Optuna: what the driver takes in docs/scale.md."""
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_PROCESS = Path("/proc/self")
_FORGET_PEAK = "5"
"""What Linux takes in clear_refs for that; see proc(5)."""


def machine_memory() -> int:
    """Bytes of memory that this machine's processes may use together: all of it, or its container's limit."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in map(Path, _CGROUP_LIMITS):
        try:
            memory = min(memory, int(path.read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return memory


class Peak:
    """How much more memory this process holds at the most than when this was made; Linux alone tells."""

    def __init__(self) -> None:
        try:
            (_PROCESS / "clear_refs").write_text(_FORGET_PEAK)
        except OSError:
            self._before = 0
        else:
            self._before = _status("VmRSS")

    def grown(self) -> int:
        """Bytes; 0 where the system does not tell."""
        return max(0, _status("VmHWM") - self._before) if self._before else 0


def crowded(trial: int, concurrent: int, memory: int) -> str | None:
    """A sentence where so many trials at a time do not fit.

    Args:
        trial: Bytes that one takes at least.
        concurrent: Trials at a time.
        memory: Bytes of the machine; see `machine_memory`.
    """
    if trial * concurrent <= USABLE * memory:
        return None
    fit = int(USABLE * memory // trial)
    seen = f"a trial takes at least {format_size(trial)} of memory, as tried out here"
    if fit < 1:
        return f"{seen}, and this machine has {format_size(memory)}: its worker may be killed"
    return (
        f"{seen}: {concurrent} at a time need {format_size(trial * concurrent)}, and this machine has "
        f"{format_size(memory)}; set resources.concurrent to {fit}, or workers may be killed"
    )


def _status(name: str) -> int:
    """A number of kB in the process's status, in bytes; 0 where there is none."""
    try:
        lines = (_PROCESS / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)
