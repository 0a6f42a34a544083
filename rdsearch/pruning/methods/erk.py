"""Erdős–Rényi-kernel densities: small layers are kept denser."""

from __future__ import annotations

from rdsearch.pruning.apportion import apportion
from rdsearch.pruning.layers import Allocation, Choice, Work


def erk(work: Work) -> Allocation:
    """Give each layer a density proportional to the sum of its dimensions over their product.

    A layer's count is then proportional to the sum of its dimensions alone. Layers that would be denser than
    dense are kept whole and the others scaled up. Inside a layer the largest magnitudes survive.

    Source: Evci et al., "Rigging the Lottery", ICML 2020, arXiv 1911.11134, section 3(1), after Mocanu et al.
    2018.
    """
    layers = work.layers
    dimensions = [float(sum(shape)) for shape in layers.shapes]

    def allocate(survivors: int) -> Choice:
        return Choice(apportion(dimensions, layers.caps, [0] * len(layers.caps), survivors), layers.magnitudes)

    return allocate
