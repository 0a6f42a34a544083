"""Global magnitude pruning: the largest weights of the whole network survive."""

from __future__ import annotations

import numpy as np

from rdsearch.pruning.layers import Choice, Layers
from rdsearch.pruning.ranking import counts_by_rank


def global_magnitude(layers: Layers, survivors: int, generator: np.random.Generator) -> Choice:
    """Rank all living weights by magnitude: Han et al., 2015, arXiv 1506.02626, with one threshold for all."""
    return Choice(counts_by_rank(layers, layers.magnitudes, survivors), layers.magnitudes)
