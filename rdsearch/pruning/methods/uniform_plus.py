"""Uniform pruning that spares the first convolution and the last layer."""

from __future__ import annotations

import math

from rdsearch.pruning.apportion import apportion
from rdsearch.pruning.layers import Allocation, Choice, Work

# Gale, Elsen, Hooker 2019 (arXiv 1902.09574, section 5.2): the last layer is pruned to 80 % at most.
LAST_LAYER_DENSITY = 0.2


def uniform_plus(work: Work) -> Allocation:
    """As ``uniform``, but the first convolution stays dense and the last layer keeps at least a fifth of its
    weights.

    Source: Gale, Elsen and Hooker, "The State of Sparsity in Deep Neural Networks", 2019, arXiv 1902.09574. A
    network without a convolution has only the second rule. What was pruned in rounds before stays pruned.
    Where there are fewer survivors than the spared layers hold, these share them in proportion.
    """
    layers = work.layers
    spared = [0] * len(layers.names)
    spared[-1] = min(layers.caps[-1], math.ceil(LAST_LAYER_DENSITY * layers.sizes[-1]))
    # A kernel has more than two dimensions.
    first = next((i for i, shape in enumerate(layers.shapes) if len(shape) > 2), None)
    if first is not None:
        spared[first] = layers.caps[first]

    def allocate(survivors: int) -> Choice:
        if survivors < sum(spared):
            return Choice(apportion(spared, spared, [0] * len(spared), survivors), layers.magnitudes)
        return Choice(apportion(layers.sizes, layers.caps, spared, survivors), layers.magnitudes)

    return allocate
