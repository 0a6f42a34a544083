"""Uniform pruning: every layer has the same density."""

from __future__ import annotations

from rdsearch.pruning.apportion import apportion
from rdsearch.pruning.layers import Allocation, Choice, Work


def uniform(work: Work) -> Allocation:
    """Share the survivors out in proportion to the layers' sizes; inside a layer the largest magnitudes survive.

    The density is that of the full layer, so that rounds in a row and one shot end at the same counts.
    """
    layers = work.layers

    def allocate(survivors: int) -> Choice:
        return Choice(apportion(layers.sizes, layers.caps, [0] * len(layers.caps), survivors), layers.magnitudes)

    return allocate
