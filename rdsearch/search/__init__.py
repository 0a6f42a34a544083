"""Which recipes are tried, and where: Optuna proposes, Ray Tune executes, a store on disk remembers.

The package is called like the function: ``rdsearch.search(...)`` is `rdsearch.search.api.search`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """Importing a submodule puts this package at ``rdsearch.search``, where the function is promised to be."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        from rdsearch.search.api import search

        return search(*args, **options)


sys.modules[__name__].__class__ = _Callable
