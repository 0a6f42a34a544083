"""What workers tell the driver of what they have stored, where to read it costs a request.

The store stays the truth: what is told here is what a worker has put there before. The figures of trials that have
ended are put once more, those of many trials in one object, so that whoever opens the search reads a few hundred
objects and not one for every round.

::

    trials/figures/00000-<random>.json.gz   name of a point.json or outcome.json to its content
"""

from __future__ import annotations

import gzip
import json
import uuid
import zlib
from collections.abc import Mapping
from pathlib import Path

from rdsearch.base.files import write_atomically
from rdsearch.search.store.places import Place

FIGURES = "figures"
_TRIALS_TOGETHER = 128


class News:
    """What was told of trials that run, or have ended since the last bundle.

    Args:
        place: The search's ``trials``.
        copy: A folder of this machine with what the place held when the search was opened.

    Attributes:
        wanted: Whether to read costs a request; where it does not, nothing is kept.
    """

    def __init__(self, place: Place, copy: Path | None = None) -> None:
        self._place, self._copy = place, copy
        self.wanted = place.path("") is None
        self._told: dict[int, dict[str, str]] = {}
        self._ended: dict[int, dict[str, str]] = {}

    def add(self, trial: int, contents: Mapping[str, str]) -> None:
        """Take note of what is stored of a trial: names to contents."""
        if self.wanted:
            self._told.setdefault(trial, {}).update(contents)

    def of(self, trial: int) -> dict[str, str] | None:
        """What is known of a trial; ``None`` where that may not be all."""
        return self._told.get(trial)

    def content(self, trial: int, name: str) -> bytes | None:
        """A file's content, where it is known."""
        content = self._told.get(trial, {}).get(name)
        return None if content is None else content.encode()

    def let_go(self, trial: int, ended: bool) -> None:
        """Forget a trial. Those that have ended go into the copy, and are stored, many in one object."""
        contents = self._told.pop(trial, {})
        if self._copy is not None and ended:
            # The outcome last: with it the copy of a trial is whole.
            for name in sorted(contents, reverse=True):
                path = self._copy / name
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, contents[name], flush=False)
        if contents and ended:
            self._ended[trial] = contents
        if len(self._ended) >= _TRIALS_TOGETHER:
            bundle = {name: content for contents in self._ended.values() for name, content in contents.items()}
            name = f"{FIGURES}/{min(self._ended):05d}-{uuid.uuid4().hex[:12]}.json.gz"
            self._place.write(name, gzip.compress(json.dumps(bundle).encode(), 6))
            self._ended.clear()


def unbundled(data: bytes) -> dict[str, bytes]:
    """The files in a bundle, by name; of a damaged one none, and they are read by themselves."""
    try:
        content = json.loads(gzip.decompress(data))
        return {str(name): text.encode() for name, text in content.items()}
    except (OSError, EOFError, ValueError, AttributeError, RecursionError, zlib.error):
        return {}
