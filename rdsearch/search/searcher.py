"""Between Ray Tune and the ledger: Tune asks for recipes and says which trials have ended."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from rdsearch.search.ledger import Ledger
from rdsearch.search.trainable import ROUND, STORAGE_ERROR


class LedgerSearcher(Searcher):
    """Hands the ledger's proposals to Tune. It keeps nothing of its own that a crash could lose."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._numbers: dict[str, int] = {}
        self.storage_error: str | None = None

    def suggest(self, trial_id: str) -> Any:
        """The next trial's configuration, or that there is none."""
        proposal = self._ledger.propose() if self.storage_error is None else None
        if proposal is None:
            return str(Searcher.FINISHED)
        self._numbers[trial_id] = proposal.number
        return {"number": proposal.number, "parameters": proposal.parameters}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Settle a trial; Tune calls this for trials that it stopped early as well, which stay open."""
        if result and STORAGE_ERROR in result:
            self.storage_error = str(result[STORAGE_ERROR])
        if trial_id in self._numbers:
            self._ledger.settle(self._numbers.pop(trial_id), crashed=error)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study and the round store are on disk already."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see `save`."""

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its searcher; the study's open files are none of its business.
        return {}


class LedgerScheduler(FIFOScheduler):
    """Tells the ledger of every round, and ends the trials that it ends. It keeps nothing of its own either."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ledger = ledger

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether the trial goes on; its worker waits for the answer."""
        if ROUND not in result or self._ledger.report(result["number"], result[ROUND]):
            return str(FIFOScheduler.CONTINUE)
        return str(FIFOScheduler.STOP)

    def __getstate__(self) -> dict[str, Any]:
        return {}
