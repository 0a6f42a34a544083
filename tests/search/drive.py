"""A driver to be killed: ``python tests/search/drive.py FOLDER FAULTS SECONDS TRIALS`` begins a search, or goes on."""

from __future__ import annotations

import sys
from pathlib import Path

from rdsearch.config.searchfile import check_search
from rdsearch.errors import RdsearchError
from rdsearch.search.api import go_on, limits_of
from rdsearch.search.store.folder import SearchFolder
from tests.search.paced import paced_space, paced_task


def main(folder: str, faults: str, seconds: str, trials: str) -> None:
    space = paced_space(int(trials))
    path = Path(folder)
    if not (path / "config.yaml").exists():
        SearchFolder.create(path, check_search(space, source="drive", name="paced", own_task=True))
    run = go_on(SearchFolder.open(path), limits_of(int(trials), None), task=paced_task(float(seconds), Path(faults)))
    sys.stdout.write(f"{run.ending}\n{run.way_on}\n")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except RdsearchError as error:
        sys.exit(f"Error: {error}")
