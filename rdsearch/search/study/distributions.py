"""A parameter's domain as Optuna has it."""

from __future__ import annotations

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from rdsearch.config.space import Choice, Domain


def distribution(domain: Domain) -> BaseDistribution:
    """A domain as Optuna has it."""
    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.values)
    if domain.integer:
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log)
    return FloatDistribution(domain.low, domain.high, log=domain.log)
