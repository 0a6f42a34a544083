"""Small networks and their weights, for the tests of pruning."""

from __future__ import annotations

import torch
from torch import nn


def lenet5() -> nn.Module:
    """LeNet-5-Caffe: 20-50-500-10."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5), nn.Flatten(), nn.Linear(800, 500), nn.Linear(500, 10)
    )


def random_weights(shapes, seed=0):
    """Laplacian weights of different scales, named as layers are."""
    generator = torch.Generator().manual_seed(seed)
    laplace = [torch.distributions.Laplace(0.0, 1.0).icdf(torch.rand(s, generator=generator)) for s in shapes]
    return {f"layer{i}.weight": w * (0.5 + i) for i, w in enumerate(laplace)}
