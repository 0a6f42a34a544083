"""Global magnitude pruning: the largest weights of the whole network survive."""

from __future__ import annotations

import numpy as np

from rdsearch.pruning.layers import Allocation, Choice, Work
from rdsearch.pruning.ranking import Ranking


def global_magnitude(work: Work) -> Allocation:
    """Rank all living weights by magnitude: Han et al., 2015, arXiv 1506.02626, with one threshold for all."""
    layers = work.layers
    ranking = Ranking(layers.each(lambda index: np.sort(layers.living(index))))

    def allocate(survivors: int) -> Choice:
        return Choice(ranking.counts(survivors), layers.magnitudes)

    return allocate
