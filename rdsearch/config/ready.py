"""The ready search files that come with rdsearch."""

from __future__ import annotations

from pathlib import Path

from rdsearch.base.registry import among, suggest
from rdsearch.errors import ConfigError

_PACKAGE = Path(__file__).parents[1]
# Inside the package when installed; beside it in a checkout.
_FOLDERS = (_PACKAGE / "search_spaces", _PACKAGE.parent / "search_spaces")


DEMO = "digits"
"""The ready search that needs no data, which newcomers begin with."""


def ready_spaces() -> dict[str, Path]:
    """Name to path of every ready search file, the demo first."""
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), None)
    paths = sorted(folder.glob("*.yaml"), key=lambda path: (path.stem != DEMO, path.stem)) if folder else []
    return {path.stem: path for path in paths}


def first_comment(path: Path) -> str:
    """What a search file says of itself: its first line, a comment."""
    with path.open(encoding="utf-8") as file:
        line = file.readline()
    return line.lstrip("# ").strip() if line.startswith("#") else ""


def find_space(name_or_path: str) -> Path:
    """A search file by its path, or a ready one by its name.

    Raises:
        ConfigError: There is neither.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    ready = ready_spaces()
    if path.name == name_or_path and path.suffix == "" and name_or_path in ready:
        return ready[name_or_path]
    if path.suffix or path.name != name_or_path:
        # By the stems: names that end alike seem alike.
        beside = {file.stem: file.name for file in path.parent.glob("*.y*ml")} if path.parent.is_dir() else {}
        near = suggest(path.stem, beside) or suggest(path.stem, ready)
        for stem, name in beside.items():
            near = near.replace(repr(stem), repr(name))
        raise ConfigError(name_or_path, [f"there is no such file.{near} `rdsearch spaces` lists the ready ones."])
    raise ConfigError(
        name_or_path,
        [f"is no file, and no ready search file either{among(path.stem, ready, 'ready ones are')}"],
    )
