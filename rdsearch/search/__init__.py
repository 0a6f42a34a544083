"""Which recipes are tried, and where: Optuna proposes, Ray Tune executes, a store on disk remembers.

The package is called like the function: ``rdsearch.search(...)`` is `rdsearch.search.api.search`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from rdsearch.errors import SearchError

if sys.platform == "win32":
    raise SearchError(
        "searches need file locks and signals that Windows does not have: run them on Linux or macOS, in WSL, or in a "
        "container. The commands on a single file (train, compress, decode, info, evaluate, truncate) run here."
    )


class _Callable(ModuleType):
    """Importing a submodule puts this package at ``rdsearch.search``, where the function is promised to be."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        from rdsearch.search.api import search

        return search(*args, **options)


sys.modules[__name__].__class__ = _Callable
