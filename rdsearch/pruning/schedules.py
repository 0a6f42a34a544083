"""How many weights are left after each round.

A schedule is a function ``(round, rounds, rate, final_sparsity) -> sparsity`` with ``round`` counted from 1;
each reads what it needs of the last three.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from rdsearch.errors import PruningError
from rdsearch.pruning import SCHEDULES

Rate: TypeAlias = float | Sequence[float]
Schedule: TypeAlias = Callable[[int, int, Rate | None, float | None], float]

# Schedules whose sparsity after a round does not depend on how many rounds follow.
_PREFIX_CONSISTENT = frozenset({"constant", "one_shot"})


def survivors_after(
    total: int,
    round: int,  # noqa: A002
    *,
    schedule: str,
    rounds: int,
    rate: Rate | None = None,
    final_sparsity: float | None = None,
) -> int:
    """Weights that are left after round ``round`` of ``rounds``, counted from 1.

    Args:
        total: Prunable weights of the dense network.
        round: The round, 1 to ``rounds``.
        schedule: A name in ``SCHEDULES``.
        rounds: Length of the schedule.
        rate: Share of the survivors that goes each round, one number or one a round; read by ``constant``.
        final_sparsity: Sparsity after the last round; read by the others.

    Returns:
        The nearest whole number, at least 1; it never grows from one round to the next.

    Raises:
        UnknownNameError: No such schedule.
        PruningError: A number that the schedule needs is missing or out of range.
    """
    if total < 1:
        raise PruningError(f"{total} weights cannot be pruned. Give a network that has prunable weights.")
    if not 1 <= round <= rounds:
        raise PruningError(f"round {round} is not one of {rounds} rounds; give one from 1 to {rounds}.")
    at: Schedule = SCHEDULES.load(schedule)
    return max(1, math.floor(total * (1 - at(round, rounds, rate, final_sparsity)) + 0.5))


def prefix_consistent(schedule: str) -> bool:
    """Whether a longer run of ``schedule`` goes through the very rounds of a shorter one.

    Where it does, every round of a trial is an exact observation of the recipe with fewer rounds.

    Raises:
        UnknownNameError: No such schedule.
    """
    return SCHEDULES.check(schedule) in _PREFIX_CONSISTENT


def constant(round: int, rounds: int, rate: Rate | None, final_sparsity: float | None) -> float:  # noqa: A002
    """The same share of the survivors goes each round (the lottery-ticket convention), or one given each."""
    if rate is None:
        raise PruningError("rate: is required by schedule 'constant', e.g. 0.2 or one rate a round.")
    if isinstance(rate, Sequence):
        if len(rate) < round:
            raise PruningError(f"rate: {len(rate)} rates do not reach round {round}. Give one rate a round.")
        return 1 - math.prod(1 - _share("rate", each) for each in rate[:round])
    return 1 - (1 - _share("rate", rate)) ** round


def linear(round: int, rounds: int, rate: Rate | None, final_sparsity: float | None) -> float:  # noqa: A002
    """The same number of weights goes each round."""
    return _final("linear", final_sparsity) * round / rounds


def cubic(round: int, rounds: int, rate: Rate | None, final_sparsity: float | None) -> float:  # noqa: A002
    """Many weights go early and few late: ``s_f * (1 - (1 - k/K)^3)``.

    Source: Zhu and Gupta, "To prune, or not to prune", 2017, arXiv 1710.01878, eq. (1), from sparsity 0.
    """
    return _final("cubic", final_sparsity) * (1 - (1 - round / rounds) ** 3)


def one_shot(round: int, rounds: int, rate: Rate | None, final_sparsity: float | None) -> float:  # noqa: A002
    """All goes in the first round; further rounds only retrain."""
    return _final("one_shot", final_sparsity)


def _final(schedule: str, final_sparsity: float | None) -> float:
    if final_sparsity is None:
        raise PruningError(f"final_sparsity: is required by schedule {schedule!r}, e.g. 0.95.")
    return _share("final_sparsity", final_sparsity)


def _share(setting: str, value: float) -> float:
    if not 0 <= value < 1:
        raise PruningError(f"{setting}: {value} is not allowed; give a share of at least 0 and below 1.")
    return value
