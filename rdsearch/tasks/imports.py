"""A user's own functions, by their import path."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rdsearch.base.blame import blamed, place_of
from rdsearch.base.registry import suggest
from rdsearch.errors import TaskError
from rdsearch.tasks.calls import call_with_options


@dataclass(frozen=True)
class ImportedFactory:
    """A function given as ``package.module:name``, called with fixed keyword arguments.

    It travels to other processes as its path, so that they import it themselves.

    Attributes:
        path: ``package.module:name``.
        options: Keyword arguments of the call.
        folder: Where the module is looked for when it is not installed; the working directory as a rule.
    """

    path: str
    options: Mapping[str, Any] = field(default_factory=dict)
    folder: str = field(default_factory=lambda: str(Path.cwd()))

    def load(self) -> Callable[..., Any]:
        """Import the function.

        Raises:
            TaskError: The module or the name in it is missing, or is nothing that can be called.
        """
        module_name, _, attribute = self.path.partition(":")
        self._refuse_pythons_own(module_name)
        if self.folder not in sys.path:
            # At the end, so that a user's folder never hides an installed package.
            sys.path.append(self.folder)
        with blamed(f"{self.path} cannot be imported"):
            try:
                found: Any = importlib.import_module(module_name)
            except ModuleNotFoundError as error:
                if error.name != module_name and place_of(error) is not None:
                    raise  # the module is there, and what it imports is not
                raise TaskError(
                    f"{self.path}: {error}. Modules are looked for among the installed packages and in {self.folder}."
                ) from error
        for part in attribute.split("."):
            if not hasattr(found, part):
                raise TaskError(f"{self.path}: {module_name} has no {part!r}.{suggest(part, vars(found))}")
            found = getattr(found, part)
        if not callable(found):
            raise TaskError(f"{self.path} is a {type(found).__name__}: a function is needed")
        made_in = found
        while isinstance(made_in, functools.partial):
            made_in = made_in.func
        self._refuse_pythons_own(str(getattr(made_in, "__module__", None) or module_name))
        function: Callable[..., Any] = found
        return function

    def _refuse_pythons_own(self, module: str) -> None:
        """A settings file of somebody else's may name any function: none of Python's own makes a network or data."""
        if module.partition(".")[0] in sys.stdlib_module_names:
            raise TaskError(
                f"{self.path} is of Python's own library ({module}), where nothing makes a network or data: give a "
                "function of a module of yours"
            )

    def __call__(self) -> Any:
        """Import the function and call it.

        Raises:
            TaskError: It cannot be imported, or it does not take the options.
        """
        function = self.load()
        with blamed(f"{self.path} fails"):
            return call_with_options(function, self.options, self.path)
