"""Other searchers in recorded tables, from their own packages, told what they can be told.

They are told of a trial its last round that keeps the constraint, else its last one; every round of every trial is a
point of what they have found. Each is told the constraint in the way that its package has for it. Packages beside
Optuna's are needed for the contender of that name alone: ``pip install botorch smac syne-tune``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.samplers import BaseSampler

from benchmarks.recorded import ROUNDS
from rdsearch.compression.measure import Baseline
from rdsearch.config.searchfile import SearchFile
from rdsearch.config.space import Choice, Domain
from rdsearch.points.point import OperatingPoint, Scalar
from rdsearch.search.study.constraints import reference_accuracy, violations
from rdsearch.search.study.observations import representative

Proposal = tuple[int, Mapping[str, Scalar]]


class Searched(Protocol):
    """Where is searched: a table, or a task."""

    file: SearchFile
    baseline: Baseline


@dataclass
class _Peer:
    """What is the same for all: numbers, rounds, and the point that stands for a trial."""

    table: Searched
    seed: int
    recipes: list[dict[str, Scalar]] = field(default_factory=list)
    rounds: dict[int, list[OperatingPoint]] = field(default_factory=dict)
    told: dict[int, OperatingPoint] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.domains: dict[str, Domain] = self.table.file.space.parameters
        self.constraints = self.table.file.search.constraints
        self.floor = reference_accuracy(self.table.baseline.accuracy, self.constraints)
        self.begin()

    def begin(self) -> None: ...

    def ask(self) -> dict[str, Scalar]:
        raise NotImplementedError

    def tell(self, number: int, point: OperatingPoint) -> None: ...

    def propose(self) -> Proposal:
        recipe = self.ask()
        self.recipes.append(recipe)
        return len(self.recipes) - 1, recipe

    def report(self, number: int, point: OperatingPoint, last: bool) -> bool:
        self.rounds.setdefault(number, []).append(point)
        return True

    def end(self, number: int) -> None:
        point = representative(self.rounds[number], self.constraints)
        if point is not None:
            self.told[number] = point
            self.tell(number, point)

    def octaves(self, point: OperatingPoint) -> float:
        return math.log2(self.table.baseline.size_bytes / point.size_bytes)


def optuna_peer(make: Callable[[int], BaseSampler]) -> Callable[[Searched, int], _Peer]:
    """One of Optuna's samplers, with the constraint told."""

    class OptunaPeer(_Peer):
        def begin(self) -> None:
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.study = optuna.create_study(directions=["minimize", "maximize"], sampler=make(self.seed))
            self.trials: list[optuna.Trial] = []

        def ask(self) -> dict[str, Scalar]:
            self.trials.append(self.study.ask({name: distribution(each) for name, each in self.domains.items()}))
            return self.trials[-1].params

        def tell(self, number: int, point: OperatingPoint) -> None:
            for name, value in violations(point, self.constraints).items():
                self.trials[number].set_constraint(name, value)
            self.study.tell(self.trials[number], [math.log2(point.size_bytes), point.val_accuracy])

    return OptunaPeer


def distribution(domain: Domain) -> optuna.distributions.BaseDistribution:
    """A domain as Optuna has it."""
    if isinstance(domain, Choice):
        return optuna.distributions.CategoricalDistribution(domain.values)
    if domain.integer:
        return optuna.distributions.IntDistribution(int(domain.low), int(domain.high), log=domain.log)
    return optuna.distributions.FloatDistribution(domain.low, domain.high, log=domain.log)


class BoTorchPeer(_Peer):
    """qLogNEHVI (Ament et al. 2023) over octaves and accuracy, the best of scattered and of near recipes."""

    START, CANDIDATES = 5, 512

    def begin(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def ask(self) -> dict[str, Scalar]:
        if len(self.told) < self.START:
            return self._recipe(self.random.random(len(self.domains)))
        import torch
        from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import MixedSingleTaskGP, ModelListGP, SingleTaskGP
        from botorch.models.transforms import Standardize
        from botorch.sampling.normal import SobolQMCNormalSampler
        from gpytorch.mlls import SumMarginalLogLikelihood

        warnings.simplefilter("ignore")
        torch.manual_seed(self.seed * 1000 + len(self.recipes))
        places = [place for place, each in enumerate(self.domains.values()) if isinstance(each, Choice)]
        known = sorted(self.told)
        inputs = torch.tensor(np.array([self._row(self.recipes[number]) for number in known]))
        targets = torch.tensor([[self.octaves(self.told[n]), self.told[n].val_accuracy] for n in known]).double()
        models = []
        for column in range(2):
            arguments = (inputs, targets[:, column : column + 1])
            scaled = Standardize(1)
            models.append(
                MixedSingleTaskGP(*arguments, places, outcome_transform=scaled)
                if places
                else SingleTaskGP(*arguments, outcome_transform=scaled)
            )
        model = ModelListGP(*models)
        fit_gpytorch_mll(
            SumMarginalLogLikelihood(model.likelihood, model), optimizer_kwargs={"options": {"maxiter": 50}}
        )
        pending = [self._row(each) for number, each in enumerate(self.recipes) if number not in self.told]
        acquisition = qLogNoisyExpectedHypervolumeImprovement(
            model,
            ref_point=[0.0, self.floor],
            X_baseline=inputs,
            X_pending=torch.tensor(np.array(pending)) if pending else None,
            sampler=SobolQMCNormalSampler(torch.Size([32]), seed=len(self.recipes)),
            prune_baseline=True,
        )
        with torch.no_grad():
            candidates = torch.tensor(self._candidates(inputs.numpy()))
            values = acquisition(candidates[:, None, :])
        return self._recipe_of_row(candidates[int(values.argmax())].numpy())

    def _candidates(self, known: np.ndarray) -> np.ndarray:
        scattered = self.random.random((self.CANDIDATES // 2, len(self.domains)))
        rows = [self._row(self._recipe(each)) for each in scattered]
        for _ in range(self.CANDIDATES // 2):
            row = known[self.random.integers(len(known))].copy()
            for place, domain in enumerate(self.domains.values()):
                if self.random.random() < 0.5:
                    step = 0.1 * self.random.standard_normal()
                    choice = isinstance(domain, Choice)
                    row[place] = (
                        self.random.integers(len(domain.values)) if choice else np.clip(row[place] + step, 0.0, 1.0)
                    )
            rows.append(self._row(self._recipe_of_row(row)))
        return np.array(rows)

    def _recipe(self, fractions: np.ndarray) -> dict[str, Scalar]:
        return {n: each.at(float(f)) for (n, each), f in zip(self.domains.items(), fractions, strict=True)}

    def _recipe_of_row(self, row: np.ndarray) -> dict[str, Scalar]:
        return {
            name: each.values[int(at)] if isinstance(each, Choice) else each.at(float(at))
            for (name, each), at in zip(self.domains.items(), row, strict=True)
        }

    def _row(self, recipe: Mapping[str, Scalar]) -> list[float]:
        row = []
        for name, each in self.domains.items():
            if isinstance(each, Choice):
                row.append(float(each.values.index(recipe[name])))
                continue
            low, high, at = (
                math.log(float(v)) if each.log else float(v) for v in (each.low, each.high, recipe[name] or 0)
            )
            row.append((at - low) / (high - low))
        return row


class SmacPeer(_Peer):
    """SMAC3's hyperparameter facade with ParEGO (Knowles 2006); it knows no constraints."""

    def begin(self) -> None:
        import logging

        from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer
        from smac import HyperparameterOptimizationFacade, Scenario
        from smac.multi_objective.parego import ParEGO

        logging.disable(logging.WARNING)
        space = ConfigurationSpace(seed=self.seed)
        for name, each in self.domains.items():
            if isinstance(each, Choice):
                space.add(Categorical(name, list(each.values)))
            elif each.integer:
                space.add(Integer(name, (int(each.low), int(each.high)), log=each.log))
            else:
                space.add(Float(name, (each.low, each.high), log=each.log))
        import tempfile

        folder = tempfile.mkdtemp()
        scenario = Scenario(
            space,
            objectives=["size", "error"],
            n_trials=1000,
            seed=self.seed,
            deterministic=True,
            output_directory=folder,
        )
        self.smac = HyperparameterOptimizationFacade(
            scenario,
            lambda config, seed=0: {"size": 0.0, "error": 0.0},
            multi_objective_algorithm=ParEGO(scenario),
            initial_design=HyperparameterOptimizationFacade.get_initial_design(scenario, n_configs=5),
            logging_level=False,
            overwrite=True,
        )
        self.infos: list[Any] = []

    def ask(self) -> dict[str, Scalar]:
        self.infos.append(self.smac.ask())
        return {name: self.infos[-1].config[name] for name in self.domains}

    def tell(self, number: int, point: OperatingPoint) -> None:
        from smac.runhistory.dataclasses import TrialValue

        cost = [math.log2(point.size_bytes), 1 - point.val_accuracy]
        self.smac.tell(self.infos[number], TrialValue(cost=cost, time=point.seconds))


class MoAshaPeer(_Peer):
    """syne-tune's MO-ASHA (Salinas et al. 2021), mended: its sort gives places, and is used for ranks."""

    def begin(self) -> None:
        import random

        from syne_tune import config_space
        from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA
        from syne_tune.optimizer.schedulers.multiobjective.multiobjective_priority import MOPriority
        from syne_tune.optimizer.schedulers.multiobjective.non_dominated_priority import (
            compute_epsilon_net,
            pareto_efficient,
        )

        class Ranks(MOPriority):
            def priority_unsafe(self, objectives: np.ndarray) -> np.ndarray:
                ranks, left, next_rank = np.zeros(len(objectives)), np.arange(len(objectives)), 0
                scaled = (objectives - objectives.min(0)) / np.maximum(np.ptp(objectives, axis=0), 1e-12)
                while len(left):
                    front = left[pareto_efficient(scaled[left])]
                    ranks[front] = next_rank + compute_epsilon_net(scaled[front], dim=0)
                    next_rank += len(front)
                    left = np.setdiff1d(left, front)
                return ranks

        random.seed(self.seed)
        np.random.seed(self.seed)  # noqa: NPY002  its distributions draw from it

        def of(domain: Domain) -> Any:
            if isinstance(domain, Choice):
                return config_space.choice(list(domain.values))
            if domain.integer:
                return config_space.randint(int(domain.low), int(domain.high))
            return (config_space.loguniform if domain.log else config_space.uniform)(domain.low, domain.high)

        self.longest = int(self.domains[ROUNDS].probes()[-1] or 1) if ROUNDS in self.domains else 1
        self.scheduler = MOASHA(
            {name: of(each) for name, each in self.domains.items()},
            ["size", "error"],
            time_attr="round",
            multiobjective_priority=Ranks(),
            max_t=self.longest + 1,
            random_seed=self.seed,
        )
        self.trials: list[Any] = []

    def ask(self) -> dict[str, Scalar]:
        import datetime

        from syne_tune.backend.trial_status import Trial

        config = self.scheduler.suggest().config
        config = {n: v.item() if isinstance(v, np.generic) else v for n, v in config.items()}
        self.trials.append(Trial(len(self.trials), config, datetime.datetime.now()))
        self.scheduler.on_trial_add(self.trials[-1])
        return config

    def report(self, number: int, point: OperatingPoint, last: bool) -> bool:
        super().report(number, point, last)
        result = {"size": math.log2(point.size_bytes), "error": 1 - point.val_accuracy, "round": point.round}
        return last or self.scheduler.on_trial_result(self.trials[number], result) == "CONTINUE"


def _tpe(seed: int) -> BaseSampler:
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)


PEERS: Mapping[str, Callable[[Searched, int], _Peer]] = {
    "Optuna random": optuna_peer(lambda seed: optuna.samplers.RandomSampler(seed=seed)),
    "Optuna Sobol": optuna_peer(
        lambda seed: optuna.samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)
    ),
    "Optuna TPE": optuna_peer(_tpe),
    "Optuna NSGA-II": optuna_peer(lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=20)),
    "Optuna GPSampler": optuna_peer(lambda seed: optuna.samplers.GPSampler(seed=seed)),
    "BoTorch qLogNEHVI": BoTorchPeer,
    "SMAC3 ParEGO": SmacPeer,
    "syne-tune MO-ASHA": MoAshaPeer,
}
