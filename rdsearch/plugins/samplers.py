"""The test of samplers of other packages."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import optuna
from optuna.samplers import BaseSampler

from rdsearch.config.searchfile import SearchConfig
from rdsearch.config.space import parse_space
from rdsearch.plugins.said import said
from rdsearch.search.study.distributions import distribution
from rdsearch.search.study.samplers import Setting

TRIALS = 12

_SPACE: dict[str, Any] = {
    "pruning": {
        "method": {"choice": ["global", "erk"]},
        "rate": {"float": [0.1, 0.5]},
        "rounds": {"int": [2, 4]},
    },
    "quantization": {"step": {"float": [0.1, 1.0], "log": True}},
}


def check_sampler(make: Callable[[Setting], BaseSampler]) -> list[str]:
    """Try a sampler out in a small study of two objectives.

    What it proposes has to lie in the space, and to follow from the seed and what the study holds: a search that was
    interrupted goes on as it would have.

    Args:
        make: ``make(setting) -> optuna.samplers.BaseSampler``.

    Returns:
        One sentence for each problem; empty when all is well.
    """
    return said(_problems(make))


def _problems(make: Callable[[Setting], BaseSampler]) -> Iterator[str]:
    sampler = make(_setting())
    if not isinstance(sampler, BaseSampler):
        yield f"it returns a {type(sampler).__name__}: an optuna.samplers.BaseSampler is needed"
        return
    domains = {name: distribution(domain) for name, domain in _setting().space.parameters.items()}
    whole = _study(sampler)
    for _ in range(TRIALS):
        _end(whole, whole.ask(domains))
    proposed = [trial.params for trial in whole.trials]
    for params in proposed:
        outside = [
            name for name, value in params.items() if not domains[name]._contains(_internal(domains, name, value))
        ]
        if outside or set(params) != set(domains):
            yield f"it proposes {params}, which is not in the space"
    interrupted = _study(make(_setting()))
    for number in range(TRIALS):
        # Another process, which knows nothing but what the study holds.
        interrupted.sampler = make(_setting())
        trial = interrupted.ask(domains)
        _end(interrupted, trial)
        if interrupted.trials[number].params != proposed[number]:
            yield (
                f"trial {number} is another one after an interruption: draw by a seed of the search's seed and the "
                "trial's number, and keep nothing that the study does not hold"
            )
            return


def _setting() -> Setting:
    space, _ = parse_space(_SPACE, "the sampler's test")
    return Setting(SearchConfig(seed=3), space, lambda trial: [])


def _study(sampler: BaseSampler) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)


def _end(study: optuna.Study, trial: optuna.Trial) -> None:
    rate, rounds, step = (float(trial.params[f]) for f in ("pruning.rate", "pruning.rounds", "quantization.step"))
    kept = (1 - rate) ** rounds
    study.tell(trial, [1000 * kept * (2 - math.log(step)), 1 - 0.1 * step - 0.01 / kept])


def _internal(domains: Any, name: str, value: Any) -> float:
    found: float = domains[name].to_internal_repr(value)
    return found
