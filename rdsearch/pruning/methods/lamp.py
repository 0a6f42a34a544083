"""LAMP: magnitudes made comparable between layers by what is left above them."""

from __future__ import annotations

import numpy as np

from rdsearch.pruning.layers import Allocation, Choice, Floats, Work
from rdsearch.pruning.ranking import Ranking


def lamp(work: Work) -> Allocation:
    """Rank all living weights by their LAMP score.

    Inside a layer the score grows with the magnitude, so that there the magnitudes rank.

    Source: Lee et al., "Layer-adaptive Sparsity for the Magnitude-based Pruning", ICLR 2021, arXiv
    2010.07611, eq. (1).
    """
    layers = work.layers
    ranking = Ranking(layers.each(lambda index: np.ascontiguousarray(lamp_scores(layers.living(index))[::-1])))

    def allocate(survivors: int) -> Choice:
        return Choice(ranking.counts(survivors), layers.magnitudes)

    return allocate


def lamp_scores(magnitudes: Floats) -> Floats:
    """``w_u^2 / sum of w_v^2 over the weights v that rank no lower than u``, for the living weights of one layer.

    Equal magnitudes rank one after the other, so that each layer has one weight of score 1. Weights that are zero have
    score 0.

    Args:
        magnitudes: Shape ``(living,)``, in any order.

    Returns:
        The scores of the weights from the largest to the smallest, shape ``(living,)``, float64: they fall.
    """
    # Sorting values is several times as fast as sorting indices.
    ranked = np.square(np.sort(magnitudes)[::-1], dtype=np.float64)
    return np.asarray(np.divide(ranked, np.cumsum(ranked), out=np.zeros_like(ranked), where=ranked > 0))
