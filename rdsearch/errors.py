"""Every error that rdsearch raises on purpose.

A message gives the value seen, what is allowed, and what to do next. ``exit_code`` is what the command line
returns: 2 for a mistake that the user can mend, 1 for a failure that is rdsearch's own or the machine's.
"""

from __future__ import annotations

from typing import ClassVar


class RdsearchError(Exception):
    """Base of all errors raised on purpose by rdsearch."""

    exit_code: ClassVar[int] = 2


class ConfigError(RdsearchError, ValueError):
    """A search, task or recipe file (or the same given from Python) is wrong.

    Args:
        source: Where the settings came from, a file name as a rule.
        problems: One line for each mistake, all of them at once.
    """

    def __init__(self, source: str, problems: list[str]) -> None:
        self.source = source
        self.problems = list(problems)
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        super().__init__("\n".join([f"{source}: {count}", *(f"  - {problem}" for problem in problems)]))


class UnknownNameError(RdsearchError, LookupError):
    """A name that no registry entry has."""


class PluginError(RdsearchError, ImportError):
    """What another package adds clashes with what is there, or cannot be imported."""


class TaskError(RdsearchError, ValueError):
    """A network, a data set or a checkpoint is missing, broken or does not fit the others."""


class MissingDataError(TaskError):
    """A data set that is not on this machine."""


class PruningError(RdsearchError, ValueError):
    """A pruning request that cannot be met."""


class QuantizationError(RdsearchError, ValueError):
    """A quantiser setting or a weight that cannot be quantised."""


class FileFormatError(RdsearchError, ValueError):
    """A ``.rdz`` file that is truncated, damaged, foreign, or of a newer version."""


class SearchError(RdsearchError, RuntimeError):
    """A search that cannot start, go on or be read."""


class SearchStoppedError(SearchError):
    """A search that had to stop in the middle; what it has stored is kept, and it can go on."""

    exit_code = 1


class TrialError(RdsearchError, RuntimeError):
    """A trial that could not produce an operating point."""

    exit_code = 1
