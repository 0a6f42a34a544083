"""SuRP: the survivors are the weights that a rate-distortion code for the network would send first."""

from __future__ import annotations

import math

import numpy as np

from rdsearch.errors import PruningError
from rdsearch.pruning.layers import Bools, Choice, Floats, Layers
from rdsearch.pruning.ranking import counts_by_rank
from rdsearch.pruning.refinement import Rule, refine

# The authors' setting for ResNet-20 (13 for VGG-16).
ALPHA = 10.0


def surp(
    layers: Layers,
    survivors: int,
    generator: np.random.Generator,
    *,
    update: str = "authors",
    alpha: float | None = None,
    beta: float | None = None,
) -> Choice:
    """Keep the weights that successive refinement touches first.

    The living weights of each layer are divided by their l2 norm, joined, and refined by
    :func:`rdsearch.pruning.refinement.refine`; ``n`` is the number of living weights. Weights that are
    exactly zero come last. Inside a layer, those touched earlier are kept first, then the larger ones.

    Source: Isik, No and Weissman, arXiv 2102.08329, Algorithm 2, and the authors' code. That code also
    normalises and joins biases and batch normalisation, which are not pruned here, and counts the dead
    weights of earlier rounds into ``n`` and the mean, which in a very sparse network puts nearly every
    survivor above the first threshold.

    Args:
        layers: The weights.
        survivors: How many to keep.
        generator: Of the picks.
        update: ``"authors"``: the threshold starts at ``alpha`` times the mean magnitude and 1/lambda falls
            by ``(n - 1) / n`` a step. ``"paper"``: it is ``log(n / beta) / lambda``, with 1/lambda the mean
            magnitude at first, and falls by ``(n - log(n / beta)) / n``.
        alpha: For ``"authors"``, 10 when not given. (Their ``beta``, ``log n``, scales the reported lambda
            only.)
        beta: For ``"paper"``, ``log n`` when not given.

    Raises:
        PruningError: An option is unknown, out of range, or belongs to the other update.
    """
    normalized = np.concatenate(
        [_normalize(m, alive) for m, alive in zip(layers.magnitudes, layers.alive, strict=True)]
    )
    living = np.flatnonzero(np.concatenate(layers.alive))
    source = normalized[living]
    rule = _rule(update, alpha, beta, n=living.size)
    steps = refine(source, min(survivors, int(np.count_nonzero(source))), rule, generator)
    scores = normalized  # at most 1, so that every pick's score is above
    picked, first_step = np.unique(steps.picks, return_index=True)
    scores[living[picked]] = 2.0 + steps.picks.size - first_step
    by_layer: tuple[Floats, ...] = tuple(np.split(scores, np.cumsum(layers.sizes)[:-1]))
    return Choice(counts_by_rank(layers, by_layer, survivors), by_layer)


def _normalize(magnitudes: Floats, alive: Bools) -> Floats:
    living: Floats = np.where(alive, magnitudes, 0.0)
    norm = np.linalg.norm(living)
    return living / norm if norm > 0 else living


def _rule(update: str, alpha: float | None, beta: float | None, n: int) -> Rule:
    if update == "authors":
        _reject("beta", beta, "paper", update)
        if alpha is not None and not 0 < alpha < math.inf:
            raise PruningError(f"surp: alpha {alpha} is not allowed; give a positive number, e.g. {ALPHA:g}.")
        return Rule.authors(n, ALPHA if alpha is None else alpha)
    if update == "paper":
        _reject("alpha", alpha, "authors", update)
        # log 1 = 0 is no beta; a single weight takes that of two.
        beta = math.log(max(n, 2)) if beta is None else beta
        if not n * math.exp(-n) < beta < n:
            raise PruningError(
                f"surp: beta {beta} is not allowed for {n} living weights; log(n / beta) must lie between 0 "
                f"and n. Give a number below {n}, e.g. log n = {math.log(max(n, 2)):.3g}."
            )
        return Rule.paper(n, beta)
    raise PruningError(f"surp: update {update!r} is not known; give 'authors' or 'paper'.")


def _reject(option: str, value: float | None, of: str, update: str) -> None:
    if value is not None:
        raise PruningError(f"surp: {option} belongs to update {of!r}, not to {update!r}. Leave one of them out.")
