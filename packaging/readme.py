"""The README as a package index shows it, where a link into the checkout leads nowhere."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINKS = runpy.run_path(str(Path(__file__).with_name("links.py")))


class ReadmeOfIndex(MetadataHookInterface):
    """Makes links and pictures absolute, at ``repository`` of pyproject.toml and the tag of this version.

    Where that is empty, as no repository is public yet, a link becomes its text and a picture goes.
    """

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the readme, and the address; see hatchling's documentation."""
        repository = str(self.config.get("repository", "")).rstrip("/")
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": LINKS["absolute"](text, repository, metadata["version"]),
        }
        if repository:
            metadata["urls"] = {"Repository": repository}
