"""Put the decoder in C into the package when it is built or installed, where there is a C compiler."""

from __future__ import annotations

import runpy
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY = runpy.run_path(str(Path(__file__).with_name("decoder_library.py")))


class CompileDecoder(BuildHookInterface):
    """Puts the library into a wheel, or beside the sources of an editable installation."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add it, and the platform to the wheel's name; see hatchling's documentation."""
        self._folder = Path(tempfile.mkdtemp())
        made, place = LIBRARY["compiled"](self._folder), Path("rdsearch", "coding", LIBRARY["NAME"])
        if made is None:
            self.app.display_warning("no C compiler: numba will compile the decoder when it first runs")
        elif version == "editable":
            shutil.move(made, Path(self.root) / place)
        else:
            build_data |= {"pure_python": False, "tag": LIBRARY["platform_tag"]()}
            build_data["force_include"][str(made)] = place.as_posix()

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made."""
        shutil.rmtree(self._folder)
