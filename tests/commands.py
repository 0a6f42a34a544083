"""How tests run command lines."""

from __future__ import annotations

from collections.abc import Callable

Run = Callable[..., tuple[int, str, str]]
"""From the words of a command line to its status, standard output and standard error."""
