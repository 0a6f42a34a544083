"""Put the sources of `rdsearch.coding` into the wheel, as `rdz.coding`: both distributions can be installed at once."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = Path(__file__).parents[2] / "rdsearch"
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

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the copies."""
        shutil.rmtree(self._folder)
