"""Between Ray Tune and the ledger: Tune asks for recipes and says which trials have ended."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from rdsearch.errors import SearchError
from rdsearch.search.run.actors import KILLED_FOR_MEMORY, error_of, was_killed_for_memory
from rdsearch.search.run.cluster import Desertion, Room
from rdsearch.search.run.nodes import NodeCheck
from rdsearch.search.run.trainable import NEWS, ROUND, STORAGE_ERROR
from rdsearch.search.run.watch import RayWatch
from rdsearch.search.study.ledger import Ledger, Proposal

_LOOK_SECONDS = 5.0
"""Time between two looks for nodes that have joined."""
_PATIENCE_SECONDS = 1.0
"""A cluster that holds fewer trials than there may be at a time never has all of them running."""
_RUNNING_PER_AHEAD, _MOST_AHEAD = 32, 16
_COMMIT_SECONDS = 1.0
"""Time between two commits where recipes are proposed several at once."""


def ahead(running: int) -> int:
    """How many recipes are proposed at once, of which each knows as many trials less, where so many are running.

    Hundreds of running trials, whose ends it does not know either, make a few more no loss; and a commit, which every
    worker waits for in an object store, is one for all of them. With less than 64 it is one recipe.
    """
    return max(1, min(_MOST_AHEAD, running // _RUNNING_PER_AHEAD))


class LedgerSearcher(Searcher):
    """Hands the ledger's proposals to Tune. It keeps nothing of its own that a crash could lose.

    Args:
        ledger: The search's books.
        room: How many trials there may be. Among several, a recipe is proposed before a worker is free for it: the
            sampler then knows one trial less, which is one more of those that are running; among hundreds, several
            are (see `ahead`). With one, what is proposed follows from all trials before it.
        nodes: Looks at the nodes of a cluster; one that cannot do the work ends the run with its reason.
        desertion: Looks whether there is any node that can do it.

    Attributes:
        set_aside: Trials whose workers were killed for memory beside others; they are to be tried alone.
    """

    def __init__(
        self, ledger: Ledger, room: Room, nodes: NodeCheck | None = None, desertion: Desertion | None = None
    ) -> None:
        super().__init__()
        self._ledger = ledger
        self._nodes = nodes
        self._desertion = desertion
        self._errors: dict[int, str] = {}
        self._room = room
        self._alone = room.alone
        self._starved: set[int] = set()
        self.set_aside: list[int] = []
        self._numbers: dict[str, int] = {}
        self._ended: list[tuple[int, bool]] = []
        self._ready: deque[Proposal] = deque()
        self._next_commit = time.monotonic()
        self.over = False
        self.storage_error: str | None = None

    def suggest(self, trial_id: str) -> Any:
        """The next trial's configuration, that there is none, or ``None`` where there is no room for it now."""
        if self.storage_error is None and len(self._numbers) >= self._room.handed_out:
            return None
        if not self._ready:
            self._propose()
        if not self._ready or self.storage_error is not None:
            self.over = True
            return str(Searcher.FINISHED)
        proposal = self._ready.popleft()
        self._numbers[trial_id] = proposal.number
        return {"number": proposal.number, "parameters": proposal.parameters}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Note that a trial has ended; Tune calls this for trials that it stopped early as well, which stay open."""
        if result and STORAGE_ERROR in result:
            self.storage_error = str(result[STORAGE_ERROR])
        if trial_id in self._numbers:
            self._ended.append((self._numbers.pop(trial_id), error))

    def catch_up(self) -> None:
        """Do, while no worker waits, what was put off: settle the trials that ended, and propose ahead."""
        if not self._alone and not self._ready and not self.over and self.storage_error is None:
            self._propose()
            self.over = not self._ready
        elif time.monotonic() >= self._next_commit:
            self.settle()

    def settle(self) -> None:
        """Settle the trials that have ended."""
        with self._storage_errors():
            self._settle_ended()
            self._commit()

    def _settle_ended(self) -> None:
        while self._ended:
            number, crashed = self._ended[0]
            self._settle(number, crashed)
            del self._ended[0]

    def killed_for_memory(self, number: int) -> None:
        """Note that a trial is given up since its worker was killed for memory, again and again."""
        self._starved.add(number)

    def failed(self, number: int, error: str) -> None:
        """Note with what error a trial is given up."""
        self._errors[number] = error

    def look_at_nodes(self, wait: bool = False) -> None:
        """Ask new nodes whether they can do the work, and see whether there are any."""
        if self._desertion is not None and self.storage_error is None:
            self._desertion.look()
            self.storage_error = self._desertion.reason or None
        if self._nodes is not None and self.storage_error is None:
            (self._nodes.wait if wait else self._nodes.look)()
            self.storage_error = self._nodes.fault or None

    @property
    def deserted(self) -> bool:
        """Whether trials wait for nodes that will not come."""
        return self._desertion is not None and bool(self._desertion.reason)

    def _settle(self, number: int, crashed: bool) -> None:
        if crashed:
            self.look_at_nodes(wait=True)
            if self._nodes is not None and self._nodes.fault:
                return  # the node is to blame, and the trial stays open
        error = self._errors.pop(number, "")
        if number not in self._starved:
            self._ledger.settle(number, crashed=crashed, reason=error)
        elif self._alone:
            self._ledger.settle(number, crashed=crashed, reason=KILLED_FOR_MEMORY)
        else:
            self.set_aside.append(number)

    def _propose(self) -> None:
        """Make recipes ready to be handed out; none if there are no more."""
        with self._storage_errors():
            # One commit for all: in an object store it is a request.
            self._settle_ended()
            proposals = []
            for _ in range(self._ahead):
                proposal = self._ledger.propose() if self.storage_error is None else None
                if proposal is None:
                    break
                proposals.append(proposal)
            self._commit()
            self._ready.extend(proposals)

    def _commit(self) -> None:
        self._ledger.commit()
        self._next_commit = time.monotonic() + (_COMMIT_SECONDS if self._ahead > 1 else 0.0)

    @property
    def _ahead(self) -> int:
        return ahead(self._room.running)

    @contextlib.contextmanager
    def _storage_errors(self) -> Iterator[None]:
        """A full disk ends the run, and what could not be written down is found out again by the next one."""
        try:
            yield
        except SearchError as error:
            self.storage_error = self.storage_error or str(error)
        except OSError as error:
            self.storage_error = f"{error.filename or 'the study'} cannot be written: {error.strerror or error}"

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study and the round store are on disk already."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see `save`."""

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its searcher; the study's open files are none of its business.
        return {}


class Bookkeeping(Callback):
    """Keeps the ledger up to date when no worker waits for it: Tune's loop starts trials, and does nothing meanwhile.

    Args:
        ledger: Counts the starts of each trial, so that one that kills its workers is given up in the end.
        searcher: Settles and proposes.
        room: How many trials there may be.
        watch: Ends the run when Ray has gone.
    """

    def __init__(self, ledger: Ledger, searcher: LedgerSearcher, room: Room, watch: RayWatch) -> None:
        self._ledger = ledger
        self._searcher = searcher
        self._watch = watch
        self._room = room
        self._started: list[int] = []
        self._running: set[str] = set()
        self._changed = self._next_look = time.monotonic()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker takes up a trial."""
        self._running.add(trial.trial_id)
        self._started.append(int(trial.config["number"]))
        self._changed = time.monotonic()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has ended, or was stopped."""
        self._running.discard(trial.trial_id)
        self._changed = time.monotonic()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial is given up."""
        if was_killed_for_memory(trial):
            self._searcher.killed_for_memory(int(trial.config["number"]))
        elif error := error_of(trial):
            self._searcher.failed(int(trial.config["number"]), error)
        self.on_trial_complete(iteration, trials, trial)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has lost its worker, and waits for another one."""
        self.on_trial_complete(iteration, trials, trial)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Once a turn of Tune's loop."""
        self._watch.rest_if_lost()
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_SECONDS
            self._searcher.look_at_nodes()
        just_changed = time.monotonic() < self._changed + _PATIENCE_SECONDS
        if just_changed and not self._searcher.over and len(self._running) < self._room.running:
            return
        # On a full disk the count is missing; the search ends over that elsewhere.
        with contextlib.suppress(OSError):
            while self._started:
                self._ledger.started(self._started.pop())
        self._searcher.catch_up()

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks into a file that nothing reads.
        return {}


class Deserted(Stopper):
    """Ends a run whose trials wait for nodes that will not come: Tune itself would wait with them for ever."""

    def __init__(self, searcher: LedgerSearcher) -> None:
        self._searcher = searcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial ends by this alone."""
        return False

    def stop_all(self) -> bool:
        """Whether all trials end."""
        return self._searcher.deserted

    def __getstate__(self) -> dict[str, Any]:
        return {}


class LedgerScheduler(FIFOScheduler):
    """Tells the ledger of every round, and ends the trials that it ends. It keeps nothing of its own either."""

    def __init__(self, ledger: Ledger, room: Room) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ledger = ledger
        self._room = room

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether the trial goes on; its worker waits for the answer."""
        if ROUND not in result or self._ledger.report(result["number"], result[ROUND], result[NEWS]):
            return str(FIFOScheduler.CONTINUE)
        return str(FIFOScheduler.STOP)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The waiting trial that takes a worker that has become free: the oldest that no node has room for.

        Those before it have workers under way, on a node that has joined say. Tune would give such a worker up if a
        free one took its trial, and where trials are shorter than a worker's start, no new node would ever get work.
        """
        live = tune_controller.get_live_trials()
        waiting = sorted((trial for trial in live if trial.status == Trial.PENDING), key=_number)
        if not waiting:
            return None
        under_way = self._room.running - (len(live) - len(waiting)) - 1  # without the free worker itself
        return waiting[min(max(0, under_way), len(waiting) - 1)]

    def __getstate__(self) -> dict[str, Any]:
        return {}


def _number(trial: Any) -> int:
    return int(trial.config["number"])
