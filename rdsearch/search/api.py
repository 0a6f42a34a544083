"""`rdsearch.search` and `rdsearch.resume`."""

from __future__ import annotations

import contextlib
import itertools
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdsearch.base.terminal import LOGGER, make_console, say
from rdsearch.base.units import parse_duration
from rdsearch.base.voice import phase
from rdsearch.compression.coverage import left_aside
from rdsearch.compression.rehearsal import rehearse, samples_of
from rdsearch.config.ready import find_space
from rdsearch.config.searchfile import GRID, SearchFile, check_search, load_search_file
from rdsearch.errors import ConfigError, RdsearchError, SearchError, SearchStoppedError, TaskError, TrialError
from rdsearch.points.front import Front
from rdsearch.search.choice import completed_for
from rdsearch.search.memory import WORKER, Peak, crowded, machine_memory
from rdsearch.search.outcome.results import Results, read_results, write_results
from rdsearch.search.outcome.warm_start import warm_start as read_warm_start
from rdsearch.search.outlook import Outlook, local_slots, look_ahead
from rdsearch.search.run.cluster import available_cores
from rdsearch.search.run.log import Log
from rdsearch.search.run.runner import Ending, Limits, run_search
from rdsearch.search.run.signals import last_words, stoppable
from rdsearch.search.run.trackers import require_trackers
from rdsearch.search.store.folder import SearchFolder
from rdsearch.search.store.trust import trust as give_trust
from rdsearch.search.task import task_of
from rdsearch.tasks.task import Task

if TYPE_CHECKING:
    from rich.console import Console

RESULTS = Path("results")
"""Where searches land when no folder is given."""


def search(
    space: str | Path | Mapping[str, Any],
    *,
    task: Task | None = None,
    out: str | Path | None = None,
    trials: int | None = None,
    time: str | float | None = None,
    overrides: Sequence[str] = (),
    warm_start: str | Path | None = None,
    address: str | None = None,
    console: Console | None = None,
    command: str | None = None,
) -> Front:
    """Run a search.

    Args:
        space: A search file's path, the name of a ready one, or its content as a mapping.
        task: What to compress, when it is not what the file's ``task:`` part says; `resume` then needs it too.
        out: A new folder for the search, or an address such as ``s3://bucket/prefix``; ``results/NAME`` when not given,
            numbered where that is taken.
        trials: Recipes to try, instead of the file's number.
        time: Wall time (``"2h"``, or seconds) after which the search stops; it can be resumed.
        overrides: ``"a.b=c"`` settings on top of the file's.
        warm_start: Folder of an earlier search; the recipes on its front are tried first, where they lie in the space.
        address: A Ray cluster's address; a Ray of its own on this machine when not given.
        console: Where progress is shown; standard output when not given.
        command: The command line that the manifest records.

    Returns:
        The Pareto front.

    Raises:
        ConfigError: The search file is wrong; every mistake is listed.
        SearchError: The folder holds a search already, or a trial fits no machine.
        SearchStoppedError: The search had to stop in the middle, with what it has found written down.
        TaskError: The task cannot be made, or a round of it on a few examples fails; nothing is written then.
        TrialError: Every trial failed.
    """
    limits = limits_of(trials, time)
    console = console or make_console()
    folder, task = start(
        space, task=task, out=out, overrides=overrides, warm_start=warm_start, address=address, console=console
    )
    return go_on(folder, limits, task=task, address=address, console=console, command=command).front()


def resume(
    directory: str | Path,
    *,
    task: Task | None = None,
    trials: int | None = None,
    time: str | float | None = None,
    address: str | None = None,
    console: Console | None = None,
    trust: bool = False,
) -> Front:
    """Go on with a search after an interruption, or add trials to a finished one.

    Args:
        directory: The search's folder.
        task: The task, if the search was begun with one.
        trials: Trials that the search shall have in the end, counted over all of its runs.
        time: Wall time of this run.
        address: A Ray cluster's address.
        console: Where progress is shown.
        trust: Whether functions that the search's task names may run, although this user did not make the folder.

    Returns:
        The Pareto front.

    Raises:
        SearchError: There is no search in the folder, another process runs it, or its space or task has changed.
        SearchStoppedError: The search had to stop in the middle, with what it has found written down.
    """
    folder, limits = SearchFolder.open(directory), limits_of(trials, time)
    if trust:
        give_trust(folder)
    return go_on(folder, limits, task=task, address=address, console=console).front()


def start(
    space: str | Path | Mapping[str, Any],
    *,
    task: Task | None = None,
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    warm_start: str | Path | None = None,
    address: str | None = None,
    console: Console | None = None,
) -> tuple[SearchFolder, Task]:
    """Check a search file, make its task, try it out, and make the search's folder; nothing is trained or run yet.

    Whatever can fail cheaply fails before there is a folder, so that a mistake can be mended and the same ``out`` given
    again.

    Returns:
        The folder, and the task, which `go_on` need not make a second time.
    """
    cores = available_cores() if address is None else None
    file = _search_file(space, task, overrides, cores)
    require_trackers(file.search.trackers)
    if out is not None:
        SearchFolder.check_free(out)
    if warm_start is not None:
        _taken_over(warm_start, file)  # that can fail more cheaply than what follows
    with Log().listening() as log:
        file, task = _tried_out(file, task, console or make_console(), local=address is None)
        taken_over = _taken_over(warm_start, file) if warm_start is not None else None
        folder = SearchFolder.create(out if out is not None else _free_folder(file.name), file, taken_over)
        log.into(folder.log)
    give_trust(folder)
    return folder, task


def dry_run(
    space: str | Path | Mapping[str, Any],
    *,
    task: Task | None = None,
    overrides: Sequence[str] = (),
    limits: Limits | None = None,
    console: Console | None = None,
) -> Outlook:
    """Check a search file, try its task out, and time what a search would do here; nothing is started or written.

    Raises:
        ConfigError: The search file is wrong; every mistake is listed.
        TaskError: The task cannot be made, or a round of it on a few examples fails.
    """
    file = _search_file(space, task, overrides, available_cores())
    limits = limits or Limits()
    file.check_trials(limits.trials)
    file, task = _tried_out(file, task, console or make_console(), local=True)
    return look_ahead(file, task, trials=limits.trials, limit=limits.seconds)


def _tried_out(file: SearchFile, task: Task | None, console: Console, *, local: bool) -> tuple[SearchFile, Task]:
    """The file with nothing left open, and its task, a round of which works on a few examples."""
    held = Peak()
    if task is None:
        with phase(console, "loading the network and its data"):
            task = task_of(file)
    file, chosen = completed_for(file, task)
    recipes = samples_of(file.space)
    with phase(console, "trying a round out on a few examples"):
        problems = rehearse(task, recipes)
    if problems:
        raise TaskError("\n  - ".join([f"a round of {task.name} on a few examples does not work out:", *problems]))
    for line in chosen:
        say(console, f"By default {line}")
    for line in left_aside(task, recipes):
        say(console, line[0].upper() + line[1:])
    too_many = crowded(WORKER + held.grown(), local_slots(file).concurrent, machine_memory()) if local else None
    if too_many is not None:
        say(console, too_many[0].upper() + too_many[1:])
    return file, task


def _taken_over(earlier: str | Path, file: SearchFile) -> dict[str, Any]:
    if file.search.sampler == GRID:
        raise ConfigError("warm start", [f"{earlier}: sampler grid tries its own combinations; leave it out here"])
    return read_warm_start(earlier, file.space).as_dict()


@dataclass(frozen=True)
class Run:
    """How a run of a search ended.

    Attributes:
        folder: The search's.
        ending: How it ended.
        reason: Why it stopped, where it did.
        results: What the search has found so far; ``None`` where it had not come to anything, or where that could not
            be written.
    """

    folder: SearchFolder
    ending: Ending
    reason: str
    results: Results | None

    @property
    def way_on(self) -> str:
        """What to say of a run that was cut short: why, and the command that goes on; empty after others."""
        if self.ending == "stopped":
            front = "the front so far is written, and " if self.results is not None else ""
            return f"{self.reason}\n{front}nothing that was stored is lost: go on with {self._command}"
        return f"interrupted; go on with {self._command}" if self.ending == "interrupted" else ""

    @property
    def _command(self) -> str:
        return f"`rdsearch resume {shlex.quote(self.folder.address)}`"

    def front(self) -> Front:
        """The front.

        Raises:
            SearchStoppedError: The run had to stop.
            KeyboardInterrupt: It was interrupted before there was anything.
            TrialError: Every trial failed.
        """
        if self.ending == "stopped":
            raise SearchStoppedError(self.way_on)
        if self.results is None:
            raise KeyboardInterrupt
        if (reason := self.results.why_all_failed) is not None:
            raise TrialError(reason)
        return self.results.front


def go_on(
    folder: SearchFolder,
    limits: Limits,
    *,
    task: Task | None = None,
    address: str | None = None,
    console: Console | None = None,
    command: str | None = None,
    farewell: Callable[[Run], None] | None = None,
) -> Run:
    """Begin or go on with the search in ``folder``, and write what it found, however it ends.

    Where Ray has gone, this process has to end with it; before that ``farewell`` is given how the run ended. When none
    is given, what `Run.way_on` says goes to standard error.
    """
    console = console or make_console()

    def lost(reason: str) -> None:
        run = Run(folder, "stopped", reason, _written(folder, "stopped"))
        (farewell or _say_way_on)(run)

    with stoppable(), Log().listening() as log:
        folder.refuse_links()
        with contextlib.suppress(SearchError):
            folder.fetch(folder.log)
        log.into(folder.log)
        try:
            ending = run_search(
                folder,
                task=task,
                limits=limits,
                address=address,
                console=console,
                command=command,
                farewell=lost,
            )
            reason = ""
        except SearchStoppedError as error:
            ending, reason = "stopped", str(error)
        LOGGER.info("the run has ended: %s%s", ending, f", {reason}" if reason else "")
        with last_words():
            return Run(folder, ending, reason, _written(folder, ending))


def _say_way_on(run: Run) -> None:
    sys.stderr.write(f"{run.way_on}\n")
    sys.stderr.flush()


def _written(folder: SearchFolder, ending: Ending) -> Results | None:
    """What was found, written down; what is in the way of that after a run that was cut short says no more."""
    try:
        return write_results(read_results(folder.address))
    except (RdsearchError, OSError):
        if ending in ("interrupted", "stopped"):
            return None
        raise


def limits_of(trials: int | None, time: str | float | None) -> Limits:
    """When a run ends, from what a user gives.

    Raises:
        ConfigError: ``trials`` is below 1.
        UnitError: ``time`` is no duration.
    """
    if trials is not None and (isinstance(trials, bool) or not isinstance(trials, int)):
        raise ConfigError("trials", [f"{trials!r} must be a whole number"])
    return Limits(trials, parse_duration(str(time)) if time is not None else None)


def _search_file(
    space: str | Path | Mapping[str, Any], task: Task | None, overrides: Sequence[str], cores: int | None
) -> SearchFile:
    if task is not None and not isinstance(task, Task):
        raise TaskError(f"task is a {type(task).__name__}: give a rdsearch.Task")
    own_task = task is not None
    if not isinstance(space, Mapping):
        return load_search_file(find_space(str(space)), overrides, own_task=own_task, cores=cores)
    if overrides:
        raise ConfigError("overrides", ["are for search files; put the values into the mapping"])
    name = task.name if task else "search"
    return check_search(space, source="search", name=name, own_task=own_task, cores=cores)


def _free_folder(name: str) -> Path:
    """Make the first folder of the name, or of the name and a number, that is not there."""
    for number in itertools.count(1):
        path = RESULTS / (name if number == 1 else f"{name}-{number}")
        # Made, and not only looked for: another search may be looking as well.
        with contextlib.suppress(FileExistsError):
            path.mkdir(parents=True)
            break
    return path
