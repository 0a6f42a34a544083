"""SuRP's successive refinement of a set of magnitudes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rdsearch.errors import PruningError
from rdsearch.pruning.methods.surp_kernel import DISTINCT, ENTERED, pick_members, runs

Floats: TypeAlias = NDArray[np.float64]

# The authors' code: of every 20th refresh on, the threshold is a tenth lower in units of the residual's mean.
REFRESHES_PER_SHRINK = 20
SHRINK = 0.9
# Random numbers drawn at a time; the picks do not depend on it.
DRAWS = 1 << 16


@dataclass(frozen=True)
class Rule:
    """How SuRP's threshold moves.

    Attributes:
        alpha: First threshold over the magnitudes' mean, and each refreshed threshold over the residual's
            mean.
        decay: Factor of the threshold from one step to the next.
        refreshes: Of every so many refreshes of an empty set, one first lowers ``alpha``.
        shrink: By this factor.
    """

    alpha: float
    decay: float
    refreshes: int = REFRESHES_PER_SHRINK
    shrink: float = SHRINK

    @classmethod
    def authors(cls, n: int, alpha: float) -> Rule:
        """The authors' code: a chosen ``alpha``, and 1/lambda falls by ``(n - 1) / n`` a step."""
        return cls(alpha, (n - 1) / n)

    @classmethod
    def paper(cls, n: int, beta: float) -> Rule:
        """Algorithm 2: threshold ``log(n / beta) / lambda``; ``lambda`` grows by ``n / (n - log(n / beta))``."""
        log_ratio = math.log(n / beta)
        return cls(log_ratio, (n - log_ratio) / n)


@dataclass(frozen=True)
class Refinement:
    """What SuRP did, step by step.

    Attributes:
        picks: Index that each step refined, int64, shape ``(steps,)``.
        thresholds: What each step took off it, float64, shape ``(steps,)``; ``log(n / beta) / lambda`` in the
            paper.
        members: How many indices each step chose from, int64, shape ``(steps,)``; sent one by one, an index costs a
            geometric variable of mean ``n / members``.
        residual: What is left of each magnitude, float64, shape ``(n,)``; never negative.
        refreshes: How often the set was found empty and the threshold set anew.
    """

    picks: NDArray[np.int64]
    thresholds: Floats
    members: NDArray[np.int64]
    residual: Floats
    refreshes: int


def refine(magnitudes: Floats, survivors: int, rule: Rule, generator: np.random.Generator) -> Refinement:
    """Refine random large magnitudes, a threshold at a time, until ``survivors`` of them were touched.

    Each step picks one of the indices whose residual is above the threshold, all equally likely, and takes
    the threshold off. When no index qualifies, the threshold becomes ``alpha`` times the residual's mean;
    every so many such refreshes (20) first lower ``alpha`` (by a tenth), so that one of them succeeds. The result for
    fewer survivors is a prefix of the result for more.

    Source: Isik, No and Weissman, arXiv 2102.08329, Algorithm 2, and the authors' code for the refresh. Where
    several indices qualify, the step with a uniform draw ``x`` in [0, 1) takes the ``floor(x * count)``-th
    smallest index.

    Args:
        magnitudes: Shape ``(n,)``, float64, not negative.
        survivors: Distinct indices to pick, at most the number of positive magnitudes.
        rule: How the threshold moves.
        generator: One double is drawn from it for each step, ahead of use.

    Raises:
        PruningError: There are fewer positive magnitudes than survivors.
    """
    positive = int(np.count_nonzero(magnitudes))
    if survivors > positive:
        raise PruningError(f"{survivors} survivors of {positive} positive magnitudes are not possible. Ask for fewer.")
    order = _largest(magnitudes, min(positive, 2 * survivors))
    residual = magnitudes.copy()
    flags, counts = np.zeros(magnitudes.size, dtype=np.uint8), runs(magnitudes.size)
    heap = np.empty(survivors, dtype=np.int64)
    seen = np.zeros(magnitudes.size, dtype=np.bool_)
    counters = np.zeros(4, dtype=np.int64)
    alpha, mean, refreshes, stale = rule.alpha, float(magnitudes.mean()), 0, False
    threshold = alpha * mean
    buffers = _steps(DRAWS)
    done: list[tuple[NDArray[np.int64], Floats, NDArray[np.int64]]] = [_steps(0)]
    draws = generator.random(0)
    while counters[DISTINCT] < survivors:
        if draws.size == 0:
            draws = generator.random(DRAWS)
        made = pick_members(
            residual,
            order,
            positive,
            flags,
            counts,
            heap,
            seen,
            counters,
            threshold,
            rule.decay,
            survivors,
            draws,
            *buffers,
        )
        draws = draws[made:]
        if made:
            picks, thresholds, members = buffers
            done.append((picks[:made].copy(), thresholds[:made].copy(), members[:made].copy()))
            threshold = float(thresholds[made - 1]) * rule.decay
            stale = True
        if draws.size == 0 or counters[DISTINCT] == survivors:
            continue
        if counters[ENTERED] == order.size and order.size < positive:
            order = _largest(magnitudes, min(positive, 4 * order.size))
            continue
        refreshes += 1
        if refreshes % rule.refreshes == 0:
            alpha *= rule.shrink
        if stale:
            mean, stale = float(residual.mean()), False
        threshold = alpha * mean
    all_picks, all_thresholds, all_members = zip(*done, strict=True)
    return Refinement(
        np.concatenate(all_picks), np.concatenate(all_thresholds), np.concatenate(all_members), residual, refreshes
    )


def _largest(magnitudes: Floats, count: int) -> NDArray[np.int64]:
    """Indices of the ``count`` largest magnitudes, and of all that equal the last of them, largest first."""
    if count == 0:
        return np.empty(0, dtype=np.int64)
    indices = np.flatnonzero(magnitudes >= np.partition(magnitudes, magnitudes.size - count)[magnitudes.size - count])
    return indices[np.argsort(-magnitudes[indices])]


def _steps(count: int) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    """Room for what ``count`` steps report: picks, thresholds, members."""
    return np.empty(count, dtype=np.int64), np.empty(count), np.empty(count, dtype=np.int64)
