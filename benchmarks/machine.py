"""The line that every benchmark begins with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path


def machine(*packages: str) -> str:
    """Processor, cores, and the versions of Python and of some packages."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")]
    processor = names[0] if names else platform.processor()
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return f"{processor}, {os.cpu_count()} cores; {', '.join([f'Python {platform.python_version()}', *versions])}"
