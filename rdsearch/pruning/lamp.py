"""LAMP: magnitudes made comparable between layers by what is left above them."""

from __future__ import annotations

import numpy as np

from rdsearch.pruning.layers import Bools, Choice, Floats, Layers
from rdsearch.pruning.ranking import counts_by_rank


def lamp(layers: Layers, survivors: int, generator: np.random.Generator) -> Choice:
    """Rank all living weights by their LAMP score.

    Source: Lee et al., "Layer-adaptive Sparsity for the Magnitude-based Pruning", ICLR 2021, arXiv
    2010.07611, eq. (1).
    """
    scores = tuple(lamp_scores(m, alive) for m, alive in zip(layers.magnitudes, layers.alive, strict=True))
    return Choice(counts_by_rank(layers, scores, survivors), scores)


def lamp_scores(magnitudes: Floats, alive: Bools) -> Floats:
    """``w_u^2 / sum of w_v^2 over the weights v that rank no lower than u``, among the living of one layer.

    Equal magnitudes rank by index, the first highest, so that each layer has one weight of score 1. Weights
    that are dead or zero have score 0.

    Args:
        magnitudes: Shape ``(size,)``, float64.
        alive: Shape ``(size,)``, boolean.
    """
    squares = np.square(np.where(alive, magnitudes, 0.0))
    order = np.argsort(-squares, kind="stable")
    ranked = squares[order]
    scores = np.zeros_like(squares)
    scores[order] = np.divide(ranked, np.cumsum(ranked), out=np.zeros_like(ranked), where=ranked > 0)
    return scores
