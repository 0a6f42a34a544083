"""Compile decoder/rdz.c into a shared library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zlib
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "decoder" / "rdz.c"
NAME = "librdz.so"
TARGETS = (["-march=x86-64-v2"], [])
"""Processors that it is made for: those that NumPy 2.4 asks for, too, or whichever the compiler knows."""


def compiled(folder: Path, *options: str) -> Path | None:
    """The library, made in a folder; `None` where there is no compiler, or none that can."""
    names = filter(None, (os.environ.get("CC"), "cc", "gcc", "clang"))
    compiler = next(filter(None, map(shutil.which, names)), None)
    if compiler is None or sys.platform == "win32":
        return None
    made, source = folder / NAME, folder / "rdz_library.c"
    # What it was made of: a checkout whose source has changed since does not use it.
    source.write_text(f'#include "rdz.c"\nconst uint32_t rdz_source = {zlib.crc32(SOURCE.read_bytes())}u;\n')
    command = [compiler, "-std=c99", "-O3", "-fPIC", "-shared", "-DRDZ_NO_MAIN", f"-I{SOURCE.parent}", *options]
    files = ["-o", str(made), str(source), "-lm"]
    done = any(
        subprocess.run([*command, *target, *files], capture_output=True, check=False).returncode == 0
        for target in TARGETS
    )
    source.unlink()
    return made if done else None


def platform_tag() -> str:
    """Of a wheel that holds the library, which needs no particular Python."""
    return f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
