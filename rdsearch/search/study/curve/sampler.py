"""An Optuna sampler that proposes the curve that adds most to the front for its time."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from rdsearch.search.study.curve.curves import Curves, Point, Scale
from rdsearch.search.study.curve.encoding import Encoding
from rdsearch.search.study.curve.process import Kernel, fit_kernel
from rdsearch.search.study.curve.reported import ReportedCurves
from rdsearch.search.study.curve.surrogate import Observations, Surrogate, inputs_of
from rdsearch.search.study.curve.worth import Ways, seen_steps, worth

START_UP = 5
"""Ended trials before anything is learnt: as many as the ready searches have heuristics."""
_RANDOM, _NEAR = 200, 100
"""Recipes that are compared for a proposal: spread over the space, and near those of the front."""
_DRAWS = 16
_REFIT = 1.3
"""The kernel is fitted anew when so many times the trials have ended."""
_FITTED = 250
"""Points that the kernel is fitted to, at most; the process itself sees all."""


@dataclass(frozen=True)
class _Known:
    trial: FrozenTrial
    points: Sequence[Point]

    @property
    def ended(self) -> bool:
        return self.trial.state != TrialState.RUNNING


class CurveSampler(BaseSampler):
    """Learns from every point of every trial's curve, and proposes the recipe whose whole curve is worth most.

    It takes studies of two objectives, and of one, where it looks for the best point of any curve. What it draws for
    a trial follows from the seed, the trial's number and what the study holds by then.

    Args:
        curves: How to read a study's trials; as `report_point` noted them when not given.
        seed: Of everything random.
    """

    def __init__(self, curves: Curves | None = None, *, seed: int | None = None) -> None:
        self._curves: Curves = ReportedCurves() if curves is None else curves
        self._seed = _entropy(seed)
        self._kernel: tuple[object, Kernel] | None = None

    def reseed_rng(self) -> None:
        """Draw otherwise than before."""
        self._seed = _entropy(None)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every parameter that any trial has had, by its newest range; those of changing kind are drawn at random."""
        if len(study.directions) > 2:
            raise ValueError(f"CurveSampler takes one objective or two, and the study has {len(study.directions)}")
        space: dict[str, BaseDistribution] = {}
        changing = set()
        for known in self._known(study, trial):
            for name, distribution in known.trial.distributions.items():
                if not _alike(space.setdefault(name, distribution), distribution):
                    changing.add(name)
                space[name] = distribution
        return {name: space[name] for name in sorted(space) if name not in changing}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The recipe that is worth most."""
        pinned = {name: value for name, value in self._curves.pinned.items() if name in search_space}
        space = {name: each for name, each in search_space.items() if name not in pinned}
        known = [each for each in self._known(study, trial) if any(name in each.trial.params for name in space)]
        encoding = Encoding(space, [each.trial.params for each in known])
        generator = self._generator(trial)
        ended = sum(bool(each.points) for each in known if each.ended)
        if not space or ended < START_UP:
            return (encoding.decode(encoding.spread(self._seed, trial.number)) if space else {}) | pinned
        belief = _Belief(self._curves, encoding, known, self._kernel_for)
        rows = [encoding.random(generator, _RANDOM)]
        good = belief.front_rows()
        if len(good):
            rows.append(encoding.near(generator, good, _NEAR))
        recipes = np.concatenate(rows)
        values = belief.worth([encoding.decode(row) | pinned for row in recipes], recipes, generator)
        return encoding.decode(recipes[int(np.argmax(values))]) | pinned

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A random draw, of a parameter that no trial has had before."""
        if param_name in self._curves.pinned:
            return self._curves.pinned[param_name]
        seed = int(self._generator(trial, param_name).integers(2**32))
        return RandomSampler(seed=seed).sample_independent(study, trial, param_name, param_distribution)

    def _generator(self, trial: FrozenTrial, name: str = "") -> np.random.Generator:
        return np.random.default_rng((self._seed, trial.number, zlib.crc32(name.encode())))

    def _known(self, study: Study, trial: FrozenTrial) -> list[_Known]:
        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        known = []
        for each in study.get_trials(deepcopy=False, states=states):
            if each.number == trial.number or not each.params:
                continue
            points = [point for point in self._curves.points(study, each) if _finite(point)]
            if points or each.state == TrialState.RUNNING:
                known.append(_Known(each, points))
        return known

    def _kernel_for(self, known: Sequence[_Known], observations: Observations) -> Kernel:
        """The kernel by the trials that ended first; for the same trials it is the same, whoever asks."""
        ended = [place for place, each in enumerate(known) if each.ended]
        stage = int(START_UP * _REFIT ** math.floor(math.log(len(ended) / START_UP, _REFIT) + 1e-9))
        ended.sort(key=lambda place: (known[place].trial.datetime_complete, known[place].trial.number))
        first = sorted(ended[:stage])
        ends = np.cumsum([len(each.points) for each in known])
        rows = np.concatenate([np.arange(ends[place] - len(known[place].points), ends[place]) for place in first])
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _FITTED)).astype(int))]
        key = (tuple(known[place].trial.number for place in first), observations.inputs.shape[1])
        if self._kernel is None or self._kernel[0] != key:
            latents = observations.latents[rows]
            targets = (latents - latents.mean()) / max(latents.std(), 1e-6)
            self._kernel = (key, fit_kernel(observations.inputs[rows], targets, observations.numbers))
        return self._kernel[1]


class _Belief:
    """What is believed of all curves, given the known ones."""

    def __init__(self, curves: Curves, encoding: Encoding, known: Sequence[_Known], kernel_for: Any) -> None:
        self._curves, self._encoding = curves, encoding
        self._running = [each for each in known if not each.ended]
        known = [each for each in known if each.points]
        self._seen = known
        self.scale: Scale = curves.scale([point for each in known for point in each.points])
        rows = np.array([encoding.encode(each.trial.params) for each in known])
        self._rows = rows
        inputs, first = [], []
        for each, row in zip(known, rows, strict=True):
            steps = np.array([float(point.step) for point in each.points])
            positions = curves.positions(each.trial.params, steps)
            inputs.append(inputs_of(row[None], positions[None], encoding.numbers)[0])
            first.append(steps == 1)
        points = [point for each in known for point in each.points]
        observations = Observations(
            np.concatenate(inputs),
            encoding.numbers + 1,
            np.array([point.gain for point in points]),
            self.scale.latent(np.array([point.quality for point in points])),
            np.maximum([point.seconds for point in points], 1e-9),
            np.concatenate(first),
        )
        self.surrogate = Surrogate(observations, kernel_for(known, observations))

    def front_rows(self) -> np.ndarray:
        """(n, columns): the recipes whose points are on the front."""
        points = [
            (point.gain, point.quality, place)
            for place, each in enumerate(self._seen)
            for point in each.points
            if self._counts(point)
        ]
        best, places = -math.inf, set()
        for _, quality, place in sorted(points, reverse=True):
            if quality > best:
                best = quality
                places.add(place)
        return self._rows[sorted(places)]

    def worth(
        self, recipes: Sequence[Mapping[str, Any]], rows: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """(C,): see `worth`."""
        ways = self._ways(recipes, rows, [0] * len(rows))
        running = None
        if self._running:
            parameters = [each.trial.params for each in self._running]
            done = [each.points[-1].step if each.points else 0 for each in self._running]
            running = self._ways(parameters, np.array([self._encoding.encode(each) for each in parameters]), done)
        front = [(point.gain, point.quality) for each in self._seen for point in each.points if self._counts(point)]
        normals = generator.standard_normal((_DRAWS, ways.steps.shape[1]))
        return worth(ways, running, front, self.surrogate, self.scale, self._curves.patience, normals)

    def _counts(self, point: Point) -> bool:
        return point.counts and point.quality >= self.scale.floor

    def _ways(self, recipes: Sequence[Mapping[str, Any]], rows: np.ndarray, done: Sequence[int]) -> Ways:
        steps = seen_steps([self._curves.length(each) for each in recipes])
        positions = np.array([self._curves.positions(each, own) for each, own in zip(recipes, steps, strict=True)])
        return Ways(rows, self._encoding.numbers, steps, positions, np.array(done))


def _entropy(seed: int | None) -> int:
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])


def _alike(one: BaseDistribution, other: BaseDistribution) -> bool:
    if isinstance(one, CategoricalDistribution):
        return one == other
    return type(one) is type(other) and getattr(one, "log", None) == getattr(other, "log", None)


def _finite(point: Point) -> bool:
    return math.isfinite(point.gain) and math.isfinite(point.quality)
