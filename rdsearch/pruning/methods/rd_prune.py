"""RD-prune: survivors go where pruning hurts the network's output most."""

from __future__ import annotations

from rdsearch.pruning.layers import Allocation, Choice, Work
from rdsearch.pruning.methods.least_distortion import least_distortion
from rdsearch.pruning.methods.output_distortion import distortion_curves


def rd_prune(work: Work) -> Allocation:
    """Give each layer the count at which the sum of the layers' output distortions is least.

    A layer's curve is the distortion of the network's output when that layer alone is pruned, measured on calibration
    inputs; distortions of several layers nearly add up. Inside a layer the largest magnitudes survive.

    Source: Xu et al., "Efficient Joint Optimization of Layer-Adaptive Weight Pruning in Deep Neural Networks", ICCV
    2023, arXiv 2308.10438, section 3. Here the curves are measured at a few densities and are straight in between.

    Raises:
        PruningError: There is no network or there are no inputs, or the network's outputs cannot be compared.
    """
    layers = work.layers
    curves = distortion_curves(work)

    def allocate(survivors: int) -> Choice:
        return Choice(least_distortion(curves, survivors), layers.magnitudes)

    return allocate
