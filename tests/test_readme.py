"""The README, as a package index shows it."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def absolute() -> Any:
    return runpy.run_path(str(ROOT / "packaging" / "links.py"))["absolute"]


def test_links_and_the_picture_lead_to_files_of_the_repository(absolute: Any) -> None:
    text = absolute((ROOT / "README.md").read_text(encoding="utf-8"), "https://example.org/me/rdsearch", "1.2.3")
    targets = LINK.findall(text)
    assert all(target.startswith("https://") for target in targets)
    mine = [target for target in targets if target.startswith("https://example.org/")]
    assert "https://example.org/me/rdsearch/raw/v1.2.3/docs/images/published.png" in mine
    for target in mine:
        path = re.sub(r"https://example.org/me/rdsearch/(raw|blob)/v1.2.3/", "", target)
        assert (ROOT / path).exists(), target


def test_without_a_public_repository_no_link_leads_nowhere(absolute: Any) -> None:
    text = absolute("![plot](docs/a.png) [page](docs/b.md), [there](https://c.org), [here](#d)", "", "1")
    assert text == " page, [there](https://c.org), [here](#d)"
