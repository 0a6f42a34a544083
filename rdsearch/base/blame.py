"""Errors of a user's own code as one sentence, with the place in that code."""

from __future__ import annotations

import contextlib
import re
import site
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

from rdsearch.errors import RdsearchError, TaskError

_PACKAGE = Path(__file__).resolve().parents[1]
_STANDARD = ("stdlib", "platstdlib", "purelib", "platlib")
_INSTALLED = {
    Path(folder).resolve()
    for folder in (
        *site.getsitepackages(),
        site.getusersitepackages(),
        *(sysconfig.get_path(name) for name in _STANDARD),
    )
}
_FRAME = re.compile(r'^\s*File "(.+?)", line (\d+)', re.MULTILINE)
"""How a worker process of a DataLoader reports where its error was: as text."""


def place_of(error: BaseException) -> str | None:
    """Where in a user's code an error came up, ``file:line``: the innermost line outside of what is installed.

    Args:
        error: As it was caught; lines outside of the ``try`` do not count.

    Returns:
        The place, or ``None`` where no code but rdsearch's and that of installed packages ran.
    """
    reported = [(name, int(line)) for name, line in _FRAME.findall(str(error))]
    if isinstance(error, SyntaxError) and error.filename:
        reported.append((error.filename, error.lineno or 1))
    frames = [(frame.filename, frame.lineno or 1) for frame in traceback.extract_tb(error.__traceback__)]
    own = [(name, line) for name, line in [*frames, *reported] if _is_users(name)]
    return f"{_short(own[-1][0])}:{own[-1][1]}" if own else None


def sentence(error: BaseException) -> str:
    """An error's kind, what it says, and where in a user's code it came up, in one line."""
    said = [line.strip() for line in str(error).splitlines() if line.strip()]
    if _FRAME.search(str(error)):
        kind, text = "", said[-1]  # a report from another process ends with both
    else:
        kind, text = f"{type(error).__name__}: ", " ".join(said) if said else "no reason given"
    place = place_of(error)
    return f"{kind}{text}" + (f" ({place})" if place else "")


@contextlib.contextmanager
def blamed(what: str) -> Iterator[None]:
    """Turn whatever a user's code raises inside the block into a `TaskError` that says where.

    Args:
        what: What is being done, for the message: ``"the network fails on a batch"``.

    Raises:
        TaskError: Anything but an `RdsearchError` was raised, or the code would have ended the process.
    """
    try:
        yield
    except RdsearchError:
        raise
    except (Exception, SystemExit) as error:
        raise TaskError(f"{what}: {sentence(error)}") from error


def _is_users(name: str) -> bool:
    if name.startswith("<") and name != "<stdin>":
        return False
    path = Path(name).resolve()
    if path.is_relative_to(_PACKAGE):
        return False
    return not any(path.is_relative_to(folder) for folder in _INSTALLED)


def _short(name: str) -> str:
    path = Path(name)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else name
