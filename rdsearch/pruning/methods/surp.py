"""SuRP: the survivors are the weights that a rate-distortion code for the network would send first."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rdsearch.errors import PruningError
from rdsearch.pruning.layers import Allocation, Bools, Choice, Floats, Work
from rdsearch.pruning.methods.surp_steps import REFRESHES_PER_SHRINK, SHRINK, Rule, refine

# The authors' setting for ResNet-20 (13 for VGG-16).
ALPHA = 10.0


def surp(
    work: Work,
    *,
    update: str = "authors",
    alpha: float | None = None,
    beta: float | None = None,
    refreshes: int = REFRESHES_PER_SHRINK,
    shrink: float = SHRINK,
) -> Allocation:
    """Keep the weights that successive refinement touches first.

    The living weights of each layer are divided by their l2 norm, joined, and refined by
    :func:`rdsearch.pruning.methods.surp_steps.refine`; ``n`` is the number of living weights. Weights that are
    exactly zero come last. Inside a layer, those touched earlier are kept first, then the larger ones.

    Source: Isik, No and Weissman, arXiv 2102.08329, Algorithm 2, and the authors' code. That code also
    normalises and joins biases and batch normalisation, which are not pruned here, and counts the dead
    weights of earlier rounds into ``n`` and the mean, which in a very sparse network puts nearly every
    survivor above the first threshold.

    Args:
        work: The weights, and the seed of the picks.
        update: ``"authors"``: the threshold starts at ``alpha`` times the mean magnitude and 1/lambda falls
            by ``(n - 1) / n`` a step. ``"paper"``: it is ``log(n / beta) / lambda``, with 1/lambda the mean
            magnitude at first, and falls by ``(n - log(n / beta)) / n``.
        alpha: For ``"authors"``, 10 when not given. (Their ``beta``, ``log n``, scales the reported lambda
            only.)
        beta: For ``"paper"``, ``log n`` when not given.
        refreshes: Of every so many refreshes of an empty set, one lowers the factor of the residual's mean.
        shrink: By this factor.

    Raises:
        PruningError: An option is unknown, out of range, or belongs to the other update.
    """
    layers = work.layers
    normalized = np.concatenate(
        [_normalize(m, alive) for m, alive in zip(layers.magnitudes, layers.alive, strict=True)]
    )
    living = np.flatnonzero(np.concatenate(layers.alive))
    source = normalized[living]
    positive = int(np.count_nonzero(source))
    rule = _rule(update, alpha, beta, living.size, refreshes, shrink)
    ends = np.cumsum(layers.sizes)
    order = np.empty(0, dtype=np.int64)

    def allocate(survivors: int) -> Choice:
        nonlocal order
        wanted = min(survivors, positive)
        if wanted > order.size:  # the picks for fewer survivors are the first of those for more
            steps = refine(source, wanted, rule, work.generator())
            order = living[_in_order_of_first_touch(steps.picks)]
        scores = normalized.copy()  # at most 1, so that every pick's score is above
        scores[order[:wanted]] = 2.0 + np.arange(wanted, 0, -1)
        kept = order[:wanted]
        if survivors > positive:
            kept = np.concatenate([kept, living[source == 0.0][: survivors - positive]])
        counts = np.bincount(np.searchsorted(ends, kept, "right"), minlength=ends.size)
        return Choice(counts.tolist(), tuple(np.split(scores, ends[:-1])))

    return allocate


def _in_order_of_first_touch(picks: NDArray[np.int64]) -> NDArray[np.int64]:
    distinct, first_step = np.unique(picks, return_index=True)
    return np.asarray(distinct[np.argsort(first_step)])


def _normalize(magnitudes: Floats, alive: Bools) -> NDArray[np.float64]:
    living: NDArray[np.float64] = np.where(alive, magnitudes.astype(np.float64), 0.0)
    norm = np.linalg.norm(living)
    return living / norm if norm > 0 else living


def _rule(update: str, alpha: float | None, beta: float | None, n: int, refreshes: int, shrink: float) -> Rule:
    if refreshes < 1 or not 0 < shrink < 1:
        raise PruningError(
            f"surp: {refreshes} refreshes and shrink {shrink} are not allowed; give a whole number of at least 1 and a "
            f"factor between 0 and 1, e.g. {REFRESHES_PER_SHRINK} and {SHRINK}."
        )
    if update == "authors":
        _reject("beta", beta, "paper", update)
        if alpha is not None and not 0 < alpha < math.inf:
            raise PruningError(f"surp: alpha {alpha} is not allowed; give a positive number, e.g. {ALPHA:g}.")
        return replace(Rule.authors(n, ALPHA if alpha is None else alpha), refreshes=refreshes, shrink=shrink)
    if update == "paper":
        _reject("alpha", alpha, "authors", update)
        # log 1 = 0 is no beta; a single weight takes that of two.
        beta = math.log(max(n, 2)) if beta is None else beta
        if not n * math.exp(-n) < beta < n:
            raise PruningError(
                f"surp: beta {beta} is not allowed for {n} living weights; log(n / beta) must lie between 0 "
                f"and n. Give a number below {n}, e.g. log n = {math.log(max(n, 2)):.3g}."
            )
        return replace(Rule.paper(n, beta), refreshes=refreshes, shrink=shrink)
    raise PruningError(f"surp: update {update!r} is not known; give 'authors' or 'paper'.")


def _reject(option: str, value: float | None, of: str, update: str) -> None:
    if value is not None:
        raise PruningError(f"surp: {option} belongs to update {of!r}, not to {update!r}. Leave one of them out.")
