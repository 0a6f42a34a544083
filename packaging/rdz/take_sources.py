"""Put the sources of `rdsearch.coding` into the wheel, as `rdz.coding`: both distributions can be installed at once.

With them goes the decoder in C, where there is a compiler.
"""

from __future__ import annotations

import re
import runpy
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = Path(__file__).parents[2] / "rdsearch"
LIBRARY = runpy.run_path(str(Path(__file__).parents[1] / "decoder_library.py"))
IMPORT = re.compile(r"^(\s*(?:from|import) )rdsearch\b", re.MULTILINE)


class TakeSources(BuildHookInterface):
    """Copies the sources, and has their imports name this package."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the copies to the wheel; see hatchling's documentation."""
        self._folder = Path(tempfile.mkdtemp())
        for source in [SOURCES / "errors.py", *sorted((SOURCES / "coding").rglob("*"))]:
            place = source.relative_to(SOURCES)
            if source.suffix not in (".py", ".json"):
                continue
            copy = self._folder / place
            copy.parent.mkdir(parents=True, exist_ok=True)
            text = source.read_text(encoding="utf-8")
            copy.write_text(IMPORT.sub(r"\1rdz", text) if source.suffix == ".py" else text, encoding="utf-8")
            build_data["force_include"][str(copy)] = f"rdz/{place.as_posix()}"
        made = LIBRARY["compiled"](self._folder)
        if made is None:
            self.app.display_warning("no C compiler: numba will compile the decoder when it first runs")
        else:
            build_data |= {"pure_python": False, "tag": LIBRARY["platform_tag"]()}
            build_data["force_include"][str(made)] = f"rdz/coding/{LIBRARY['NAME']}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the copies."""
        shutil.rmtree(self._folder)
