"""Erdős–Rényi-kernel densities: small layers are kept denser."""

from __future__ import annotations

import numpy as np

from rdsearch.pruning.apportion import apportion
from rdsearch.pruning.layers import Choice, Layers


def erk(layers: Layers, survivors: int, generator: np.random.Generator) -> Choice:
    """Give each layer a density proportional to the sum of its dimensions over their product.

    A layer's count is then proportional to the sum of its dimensions alone. Layers that would be denser than
    dense are kept whole and the others scaled up. Inside a layer the largest magnitudes survive.

    Source: Evci et al., "Rigging the Lottery", ICML 2020, arXiv 1911.11134, section 3(1), after Mocanu et al.
    2018.
    """
    dimensions = [float(sum(shape)) for shape in layers.shapes]
    return Choice(apportion(dimensions, layers.caps, [0] * len(layers.caps), survivors), layers.magnitudes)
