"""Running a search: from a search file to a folder with a front in it."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rdsearch.base.terminal import say
from rdsearch.base.voice import phase
from rdsearch.compression.measure import Baseline
from rdsearch.config.searchfile import SearchFile
from rdsearch.errors import ConfigError, RdsearchError, SearchError, SearchStoppedError
from rdsearch.points.point import OperatingPoint, Scalar
from rdsearch.search.outcome.manifest import baseline_of, make_manifest, trials_baseline
from rdsearch.search.outcome.members import score_members
from rdsearch.search.run.cluster import Slots, slots
from rdsearch.search.run.dense import prepare_dense, train_dense
from rdsearch.search.run.device import taken_by_others
from rdsearch.search.run.fit import Fit
from rdsearch.search.run.nodes import NodeCheck, checked_nodes
from rdsearch.search.run.session import abandon_session, ray_session
from rdsearch.search.run.sizes import require_sizes
from rdsearch.search.run.trackers import Tracked, require_trackers, tracked
from rdsearch.search.run.trainable import TrialContext
from rdsearch.search.run.watch import RayWatch
from rdsearch.search.store.folder import SearchFolder
from rdsearch.search.store.lock import FolderLock
from rdsearch.search.store.rounds import RoundStore
from rdsearch.search.store.studies import StudyPlace
from rdsearch.search.study.ledger import Ledger
from rdsearch.search.task import keep_dense, searched_task
from rdsearch.tasks.checks.plausibility import doubts, seen_before
from rdsearch.tasks.task import Task

if TYPE_CHECKING:
    from rich.console import Console


Ending = Literal["finished", "out of time", "interrupted", "stopped"]
"""The last one where something came up in the middle of it."""


@dataclass(frozen=True)
class Limits:
    """When a run of a search ends.

    Attributes:
        trials: Trials that the search shall have in the end, counted over all of its runs; the search
            file's number when ``None``.
        seconds: Wall time of this run; the search file's when ``None``.
    """

    trials: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.trials is not None and self.trials < 1:
            raise ConfigError("trials", [f"{self.trials} must be at least 1"])


def run_search(
    folder: SearchFolder,
    *,
    task: Task | None = None,
    limits: Limits = Limits(),
    address: str | None = None,
    console: Console,
    command: str | None = None,
    farewell: Callable[[str], None],
) -> Ending:
    """Start a search, or go on with one: the same thing, since all that it knows is in its folder.

    Args:
        folder: The search's folder, with its ``config.yaml``.
        task: The task, when it is not the one that the search file names.
        limits: When to end.
        address: A Ray cluster; a Ray of its own on this machine when not given.
        console: Where progress is shown.
        command: The command line, for the manifest.
        farewell: Gets the reason where Ray is gone, and this process has to end with it.

    Returns:
        How this run ended: the search has all of its trials, its time was up, or it was interrupted.

    Raises:
        SearchError: The folder is in use, the search has changed, or a trial does not fit the machine.
        SearchStoppedError: Something came up in the middle of the run, such as a full disk or a Ray that is gone.
        TaskError: The task cannot be made.
    """
    if folder.is_published:
        raise SearchError(
            f"{folder.address} is a published search: it has tables and files, but not the study and the rounds that a "
            "search goes on from; start a new one in another folder"
        )
    file = folder.search_file()
    study = folder.study(file)
    folder.refuse_links()
    require_trackers(file.search.trackers)
    lock = FolderLock(folder.lock)
    with lock.held(), study.locked():
        study.guard = lock.check
        try:
            return _go_on(folder, file, study, task, limits, address, console, command, farewell)
        except KeyboardInterrupt:
            # Outside of Tune, which takes it for the end of its run.
            return "interrupted"


def _go_on(
    folder: SearchFolder,
    file: SearchFile,
    study: StudyPlace,
    task: Task | None,
    limits: Limits,
    address: str | None,
    console: Console,
    command: str | None,
    farewell: Callable[[str], None],
) -> Ending:
    started = time.monotonic()
    folder.sweep()
    folder.refresh()  # another driver may have been at work until now
    file.check_trials(limits.trials)
    if limits.trials is not None:
        _check_not_fewer(folder.store, limits.trials)
        folder.write_target(limits.trials)  # training may take hours, and be interrupted
    if task is None:
        with phase(console, "loading the network and its data"):
            task = searched_task(folder, None)
    else:
        task = searched_task(folder, task)
    baseline = _prepare(folder, file, task, address, console, command)
    require_sizes(file.space, task, baseline)
    seconds = limits.seconds if limits.seconds is not None else file.search.time
    target = folder.read_manifest().get("target", file.trials) if limits.trials is None else limits.trials
    first = _taken_over(folder, console)
    ledger = Ledger(study, folder.store, file.space, file.search, target, first)
    ledger.commit()
    if few := file.few(limits.trials):
        say(console, few[0].upper() + few[1:])
    _note(folder, target=ledger.target)
    if ledger.ended < ledger.target:
        with contextlib.ExitStack() as session:
            with phase(console, "starting Ray" if address is None else f"connecting to Ray at {address}"):
                session.enter_context(ray_session(address))
            left = max(1.0, seconds - (time.monotonic() - started)) if seconds is not None else None
            with nullcontext() if address is None else checked_nodes(ledger.store.place) as nodes:
                _run(folder, file, task, baseline, ledger, left, nodes, console, farewell)
    took = time.monotonic() - started
    ending = _ending(ledger, took, seconds)
    if task.has_subset and ending != "interrupted":
        _judge_members(folder, file, task, console)
    _note(folder, seconds=_elapsed(folder) + time.monotonic() - started)
    return ending


def _check_not_fewer(store: RoundStore, trials: int) -> None:
    """Trials are counted over all runs, so that a smaller number than there is cannot be reached."""
    begun = list(store.trials())
    if trials >= len(begun):
        return
    ended = sum(store.outcome(trial) is not None for trial in begun)
    if trials < ended:
        raise ConfigError(
            "trials",
            [
                f"{trials} is below the {ended} trials that this search has ended already, and they are counted over "
                "all of its runs: give more, or leave it out to finish those that are open"
            ],
        )


def _ending(ledger: Ledger, took: float, seconds: float | None) -> Ending:
    if ledger.ended >= ledger.target:
        return "finished"
    return "out of time" if seconds is not None and took >= seconds else "interrupted"


def _judge_members(folder: SearchFolder, file: SearchFile, task: Task, console: Console) -> None:
    """Score the front's files on the whole validation part, and record what it says."""
    before, baseline = folder.read_whole_part(), baseline_of(folder.read_manifest())
    folder.refresh()
    points = folder.rounds.all_points()
    with phase(console, "scoring the front's files on the whole validation part"):
        scores = score_members(task, points, file.search.constraints, baseline, before, folder.fetch)
    folder.write_whole_part(scores)
    say(
        console,
        f"{len(scores) - len(before)} files scored on the whole validation part, {len(task.validation):,} examples",
    )


def _prepare(
    folder: SearchFolder, file: SearchFile, task: Task, address: str | None, console: Console, command: str | None
) -> Baseline:
    """The trials' baseline: from the manifest, if there is one and it is of this task, else measured and put there."""
    if folder.manifest.exists():
        train_dense(task, console)
        manifest = folder.read_manifest()
        if manifest["task_fingerprint"] != task.fingerprint:
            raise SearchError(
                f"the task is not the one that {folder.address} was begun with: its data, its dense weights or its "
                "validation part have changed; put them back, or start a new search in another folder"
            )
        return trials_baseline(manifest)
    found = prepare_dense(task, address, console)
    kept = keep_dense(folder, task)
    folder.write_manifest(make_manifest(file, task, found.whole, found.seen, command) | kept)
    return found.seen


def _taken_over(folder: SearchFolder, console: Console) -> list[dict[str, Scalar]]:
    """The parameters that an earlier search's front has for this one."""
    warm_start = folder.read_warm_start()
    proposals: list[dict[str, Scalar]] = warm_start.get("proposals", [])
    if warm_start and "target" not in folder.read_manifest():
        lines = [f"{len(proposals)} recipes on the front of {warm_start['source']} are tried first"]
        for line in [*lines, *warm_start["skipped"]]:
            say(console, line)
    return proposals


def _elapsed(folder: SearchFolder) -> float:
    return float(folder.read_manifest().get("seconds", 0.0))


def _note(folder: SearchFolder, **values: float) -> None:
    folder.write_manifest(folder.read_manifest() | values)


def _run(
    folder: SearchFolder,
    file: SearchFile,
    task: Task,
    baseline: Baseline,
    ledger: Ledger,
    seconds: float | None,
    nodes: NodeCheck | None,
    console: Console,
    farewell: Callable[[str], None],
) -> None:
    from rdsearch.search.run.answer import Answer
    from rdsearch.search.run.events import Events
    from rdsearch.search.run.log import TrialLog
    from rdsearch.search.run.progress import Progress, Screen

    def warn(line: str) -> None:
        say(console, f"Warning: {line}", style="yellow")

    places = slots(file.resources, grows=nodes is not None, tell=warn)
    store = ledger.store
    deadline = time.monotonic() + seconds if seconds is not None else None
    progress = Progress(ledger, baseline, file.search.constraints, store.all_points(), deadline)
    for line in store.damaged.values():
        warn(line)
    _announce(console, task, baseline_of(folder.read_manifest()), ledger, places)
    if task.has_subset:
        scored = task.on_subset().score_text(baseline.accuracy)
        say(console, f"trials are scored on a part of that: dense network, {scored}")
    known = dict(zip(ledger.unfinished, store.place.each(store.count, ledger.unfinished), strict=True))
    context = TrialContext(
        task.on_subset().for_search(),
        file.space,
        baseline,
        store.place,
        file.search.seed,
        places.threads,
        file.search.constraints,
        file.search.patience,
        places.gpu,
        taken_by_others(),
        folder.read_manifest()["task_fingerprint"],
    )
    search = Tracked(file.name, folder.identity or file.name, folder.path)
    with tracked(file.search.trackers, search, console) as trackers, Screen(progress, console) as screen:
        callbacks = [Events(store, known, [screen, TrialLog(), *trackers]), Answer(console)]

        def lost(reason: str) -> None:
            screen.stop()
            _let_go(ledger, progress.front)
            abandon_session()
            farewell(reason)

        try:
            with RayWatch(lost) as watch:
                Fit(folder, context, ledger, nodes, deadline, callbacks, watch, warn).run(places)
        except Exception as error:
            _keep(folder, error)
            raise error if isinstance(error, SearchStoppedError) else SearchStoppedError(_reason(error)) from error
        finally:
            _let_go(ledger, progress.front)


def _let_go(ledger: Ledger, front: Sequence[OperatingPoint]) -> None:
    """The trials that were running are not to blame for the end; only a crash of this process leaves this out."""
    with contextlib.suppress(OSError, SearchError):
        ledger.interrupted()
        ledger.show_front(front)
        ledger.commit()


def _keep(folder: SearchFolder, error: Exception) -> None:
    """Keep the traceback of what nobody has foreseen."""
    if not isinstance(error, RdsearchError):
        with contextlib.suppress(OSError):
            folder.errors.write_text("".join(traceback.format_exception(error)))


def _announce(console: Console, task: Task, baseline: Baseline, ledger: Ledger, places: Slots) -> None:
    gpu = f" and {places.gpu:g} GPU" if places.gpu else ""
    resumed = f", {ledger.ended} done already" if ledger.ended else ""
    say(console, f"{task.name}: dense network {baseline.size_bytes:,} bytes, {task.score_text(baseline.accuracy)}")
    for note in task.notes:
        say(console, f"Note: {note}")
    for doubt in (*doubts(task, baseline.accuracy), *seen_before(task)):
        say(console, f"Warning: {doubt}", style="yellow")
    trials = f"{ledger.target} trial{'s' * (ledger.target != 1)}{resumed}"
    joining = "; nodes that join are used as well" if not places.limited else ""
    say(console, f"{trials}, {places.concurrent} at a time on {places.cpu:g} core{gpu} each{joining}")


def _reason(error: Exception) -> str:
    """What stopped a run, in a line: Tune gives errors of ours as the text of a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, RdsearchError):
        return str(error)
    if "Traceback" in str(error):
        kind, _, said = lines[-1].partition(": ")
        ours = kind.startswith("rdsearch.errors.")
        return said if ours else f"{kind.rpartition('.')[2]}: {said}"
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"
