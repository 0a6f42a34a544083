"""Whose functions a search's folder may run: this user's, or those of a folder that this user has agreed to."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

from rdsearch.base.files import write_atomically
from rdsearch.config.yamlfile import read_yaml
from rdsearch.errors import SearchError
from rdsearch.search.store.folder import SearchFolder
from rdsearch.tasks.folders import cache_folder
from rdsearch.tasks.settings import is_import_path

_TRUSTED = "trusted"
"""Folder inside the cache: an empty file for each search whose functions may run here."""


def foreign_functions(folder: SearchFolder) -> list[str]:
    """The functions that a search's task would import and call, where this user has neither made nor trusted it."""
    task = read_yaml(folder.config).get("task")
    named = [task.get("network"), task.get("dataset")] if isinstance(task, dict) else []
    functions = [name for name in named if isinstance(name, str) and is_import_path(name)]
    return functions if functions and not _mark(folder).exists() else []


def trust(folder: SearchFolder) -> None:
    """Agree to the functions that a search's task names, as it stands now."""
    # Where the cache cannot be written, the question comes again.
    with contextlib.suppress(OSError):
        mark = _mark(folder)
        mark.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(mark, "")


def require_trust(folder: SearchFolder) -> None:
    """See that a search's task may be made here.

    Raises:
        SearchError: It names functions to import and call, and comes from somebody else.
    """
    if functions := foreign_functions(folder):
        raise SearchError(
            f"{folder.address} was not made by you on this machine, and its task runs {_listed(functions)} from this "
            "machine's modules: look at its config.yaml, and give --trust (trust=True) once if that is as it should be"
        )


def question(folder: SearchFolder, functions: list[str]) -> str:
    """What to ask somebody who goes on with a search of somebody else's."""
    return (
        f"{folder.address} was not made by you on this machine, and its task runs {_listed(functions)} from this "
        "machine's modules. Go on, now and later?"
    )


def _listed(functions: list[str]) -> str:
    return " and ".join(functions)


def _mark(folder: SearchFolder) -> Path:
    tree = read_yaml(folder.config)
    described = json.dumps([tree.get("id"), tree.get("task")], sort_keys=True, default=str)
    return cache_folder() / _TRUSTED / hashlib.sha256(described.encode()).hexdigest()[:32]
