"""The study's books: which recipes were proposed, which came to an end, and with what.

The ledger knows nothing of Ray. Whatever happened to the process that ran a trial, its books follow from
the study (which numbers were handed out) and the round store (what they reported).
"""

from __future__ import annotations

import bisect
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from rdsearch.config.searchfile import GRID, LEARNING, SAMPLERS, SearchConfig
from rdsearch.config.space import Choice, Domain, RecipeSpace
from rdsearch.errors import SearchError
from rdsearch.points.point import OperatingPoint, Scalar
from rdsearch.search.store.rounds import Outcome, RoundStore
from rdsearch.search.store.studies import StudyPlace, study_place
from rdsearch.search.study.constraints import violations
from rdsearch.search.study.distinct import Distinct
from rdsearch.search.study.halving import Halving
from rdsearch.search.study.heuristics import heuristics
from rdsearch.search.study.observations import is_prefix, prefix_observation, prefix_of, representative
from rdsearch.search.study.samplers import Setting

MAX_ATTEMPTS = 5
"""A trial whose worker or driver crashed so often without finishing one more round is given up."""
_ATTEMPTS = "attempts"
_FRONT = "front"
BEATEN = Outcome("stopped", "other trials beat it by far at the same round")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A recipe to try: a trial's number and its parameters."""

    number: int
    parameters: dict[str, Scalar]


class Ledger:
    """The books of one search.

    Args:
        study: Where the study lies; or its journal file, or any of Optuna's storages.
        store: The round store beside it.
        space: The search space.
        config: Sampler, seed, constraints.
        target: Trials that the search shall end with; no more than the space holds different recipes.
        first: Parameters that a new search tries before anything else.

    Attributes:
        store: The round store.
        target: As it was given.

    Raises:
        SearchError: The study is of another search space, is damaged, or is missing while the store is not.
    """

    def __init__(
        self,
        study: StudyPlace | BaseStorage | Path,
        store: RoundStore,
        space: RecipeSpace,
        config: SearchConfig,
        target: int,
        first: Sequence[Mapping[str, Scalar]] = (),
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.store = store
        self._space = space
        self._constraints = config.constraints
        self._place = study_place(study)
        self._study, self._batch = _open_study(self._place), self._place.batch
        if "space" not in self._study.user_attrs:
            _check_nothing_stored(self._place, store)
            self._begin(config, target, first)
        _check_same_space(self._study, _space_text(space, config.seed))
        self._study.sampler = SAMPLERS.load(config.sampler)(Setting(config, space, self._points_of))
        if space.recipes is not None:
            target = min(target, space.recipes)
            if config.sampler != GRID:
                self._study.sampler = Distinct(self._study.sampler, space, config.seed)
        every = self._study.get_trials(deepcopy=False)
        self._tells_prefixes = config.prefix_observations and config.sampler in LEARNING
        self._prefixes = [trial.number for trial in every if is_prefix(trial)]
        self._told = {prefix_of(trial) for trial in every if is_prefix(trial)}
        trials = [trial for trial in every if not is_prefix(trial)]
        self._orphans = [trial for trial in trials if trial.state == TrialState.RUNNING]
        self._open = {self._own_number(trial.number): trial._trial_id for trial in self._orphans}
        self._halving = Halving(config.halving) if config.scheduler == "halving" else None
        if self._halving is not None:
            for point in store.all_points():
                self._halving.add(point.trial or 0, point)
        self.target = target
        self.complete = sum(trial.state == TrialState.COMPLETE for trial in trials)
        self.failed = sum(trial.state in (TrialState.FAIL, TrialState.PRUNED) for trial in trials)

    @property
    def ended(self) -> int:
        """Trials that have come to an end, well or badly."""
        return self.complete + self.failed

    @property
    def unfinished(self) -> list[int]:
        """Trials that were handed out and have not come to an end."""
        return list(self._open)

    def propose(self) -> Proposal | None:
        """The next recipe: trials that were interrupted first; ``None`` when the target is reached."""
        with self._batch():
            while self._orphans:
                orphan = self._orphans.pop(0)
                number, trial = self._own_number(orphan.number), Trial(self._study, orphan._trial_id)
                if self._attempts(number, trial) < MAX_ATTEMPTS:
                    return self._proposal(number, trial)
                self.store.finish(number, Outcome("failed", f"gave up after {MAX_ATTEMPTS} attempts"))
                self.settle(number)
            if self.ended + len(self._open) >= self.target:
                return None
            trial = self._study.ask()
            number = self._own_number(trial.number)
            self._open[number] = trial._trial_id
            self.store.begin(number)
            return self._proposal(number, trial)

    def started(self, number: int) -> None:
        """Count that a worker begins, or begins again, with a trial; `interrupted` takes it back."""
        if number in self._open:
            trial = Trial(self._study, self._open[number])
            self._note_attempts(number, trial, self._attempts(number, trial) + 1)

    def interrupted(self) -> None:
        """The run ends with trials open and no crash: they are not to blame, so this attempt does not count."""
        with self._batch():
            for number, identity in self._open.items():
                trial = Trial(self._study, identity)
                attempts = self._attempts(number, trial)
                if attempts:
                    self._note_attempts(number, trial, attempts - 1)

    def report(self, number: int, round_: int, news: str = "{}") -> bool:
        """Take note of a round that a running trial has stored; whether the trial goes on.

        A trial that does not has its outcome in the store already. Rounds that were reported before change nothing.

        Args:
            number: The trial.
            round_: Its round.
            news: What the worker's `RoundStore.news` told of it.
        """
        self.store.learn(number, news)
        if self._halving is None or self.store.has_ended(number):
            return True
        if not self._halving.stops(number, self.store.point(number, round_)):
            return True
        self.store.finish(number, BEATEN)
        return False

    def put_back(self, number: int) -> None:
        """Propose a trial that was handed out again, as after an interruption."""
        self._orphans.append(self._study._storage.get_trial(self._open[number]))

    def settle(self, number: int, *, crashed: bool = False, reason: str = "") -> bool:
        """Tell the study how a trial ended, once.

        Args:
            number: The trial.
            crashed: Whether its worker failed so often that it will not be tried again.
            reason: Why, where that is known; else what its worker left is looked for.

        Returns:
            Whether it has ended; a trial that was only interrupted stays open for the next run.
        """
        outcome = self.store.outcome(number)
        if number not in self._open:
            return True
        if outcome is None:
            if not crashed:
                return False
            reason = reason or self.store.last_error(number) or "its worker died again and again"
            outcome = Outcome("failed", reason)
            self.store.finish(number, outcome)
        points = self.store.points(number)
        chosen = representative(points, self._constraints)
        trial = Trial(self._study, self._open[number])
        with self._batch():
            if chosen is None or outcome.state == "failed" or not math.isfinite(chosen.val_accuracy):
                self._study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
                self.failed += 1
            else:
                self._tell(number, trial, chosen, points)
                self.complete += 1
        self.store.let_go(number)
        # Last: where the disk was full, the trial is still open.
        del self._open[number]
        return True

    def show_front(self, front: Sequence[OperatingPoint]) -> None:
        """Put the front into the study, for who looks at it there: of each trial the study has one point alone."""
        lines = [
            f"{point.size_bytes:,} bytes, val {point.val_accuracy:.4f}, {self.store.file_name(point)}"
            for point in front
        ]
        if self._study.user_attrs.get(_FRONT) != lines:
            self._study.set_user_attr(_FRONT, lines)

    def commit(self) -> None:
        """Make safe what the study was told; what `propose` gave is worth nothing before that.

        Raises:
            SearchError: The study cannot be written any more, or another driver has it.
        """
        self._place.commit()

    def _begin(self, config: SearchConfig, target: int, first: Sequence[Mapping[str, Scalar]]) -> None:
        for proposal in first:
            self._study.enqueue_trial(dict(proposal), skip_if_exists=True)
        if config.heuristics and config.sampler != GRID:
            for proposal in heuristics(self._space, at_most=max(1, target // 2)):
                self._study.enqueue_trial(proposal, skip_if_exists=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.set_metric_names(list(config.objectives))
        # Last, so that a crash before it makes the next run begin again.
        self._study.set_user_attr("space", _space_text(self._space, config.seed))

    def _own_number(self, number: int) -> int:
        """A trial's number among the trials, from its number in the study, where observations are counted as well."""
        return number - bisect.bisect_left(self._prefixes, number)

    def _points_of(self, trial: FrozenTrial) -> list[OperatingPoint]:
        """What a trial of the study has stored; nothing for an observation that was never proposed."""
        read = self.store.heard if trial.state == TrialState.RUNNING else self.store.points
        return [] if is_prefix(trial) else read(self._own_number(trial.number))

    def _tell(self, number: int, trial: Trial, chosen: OperatingPoint, points: Sequence[OperatingPoint]) -> None:
        if self._tells_prefixes:
            self._tell_prefixes(number, trial, points)
        known = trial.constraints  # of a run that was killed before it could tell the rest
        for name, value in violations(chosen, self._constraints).items():
            if name not in known:
                trial.set_constraint(name, value)
        # For who looks at the study: of which round its values are, and where that file is.
        trial.set_user_attr("file", self.store.file_name(chosen))
        trial.set_user_attr("sparsity", round(chosen.sparsity, 4))
        trial.set_user_attr("accuracy_drop", round(chosen.accuracy_drop, 4))
        self._study.tell(trial, [chosen.size_bytes, chosen.val_accuracy], skip_if_finished=True)

    def _tell_prefixes(self, number: int, trial: Trial, points: Sequence[OperatingPoint]) -> None:
        frozen = self._study._storage.get_trial(trial._trial_id)
        for point in points:
            if (number, point.round) in self._told:
                continue
            observation = prefix_observation(frozen, number, point, self._space, self._constraints)
            if observation is not None:
                self._study.add_trial(observation)
                self._prefixes.append(len(self._study.get_trials(deepcopy=False)) - 1)
                self._told.add((number, point.round))

    def _proposal(self, number: int, trial: Trial) -> Proposal:
        parameters = {name: _suggest(trial, name, domain) for name, domain in self._space.parameters.items()}
        return Proposal(number, parameters)

    def _attempts(self, number: int, trial: Trial) -> int:
        """How often the trial was begun since it last finished a round."""
        before, attempts = trial.user_attrs.get(_ATTEMPTS, (0, 0))
        return int(attempts) if self.store.count(number) == before else 0

    def _note_attempts(self, number: int, trial: Trial, attempts: int) -> None:
        trial.set_user_attr(_ATTEMPTS, (self.store.count(number), attempts))


def _open_study(place: StudyPlace) -> optuna.Study:
    return optuna.create_study(
        study_name=place.name,
        storage=place.open(),
        directions=["minimize", "maximize"],
        load_if_exists=True,
    )


def _check_nothing_stored(place: StudyPlace, store: RoundStore) -> None:
    """A study that begins anew would hand out the numbers of stored trials again, for other recipes."""
    if next(iter(store.trials()), None) is not None:
        raise SearchError(
            f"{place.where} is missing or empty, but rounds of this search are stored: put the study back to go on, or "
            "start a new search in another folder"
        )


def _suggest(trial: Trial, name: str, domain: Domain) -> Scalar:
    if isinstance(domain, Choice):
        value: Scalar = trial.suggest_categorical(name, domain.values)
        return value
    if domain.integer:
        return trial.suggest_int(name, int(domain.low), int(domain.high), log=domain.log)
    return trial.suggest_float(name, domain.low, domain.high, log=domain.log)


def _space_text(space: RecipeSpace, seed: int) -> dict[str, str]:
    """What may not change between the runs of a search: every trial follows from it and its parameters."""
    searched = {name: repr(domain) for name, domain in space.parameters.items()}
    return searched | {"fixed settings": json.dumps(space.fixed, sort_keys=True), "search.seed": str(seed)}


def _check_same_space(study: optuna.Study, now: Mapping[str, str]) -> None:
    before = study.user_attrs.get("space", {})
    changed = [
        f"{name}: was {before.get(name, 'not there')}, is {now.get(name, 'not there')}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise SearchError(
            "the search space has changed since this search began:\n  "
            + "\n  ".join(changed)
            + "\nput it back to go on, or start a new search in another folder"
        )
