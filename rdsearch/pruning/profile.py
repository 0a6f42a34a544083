"""Budgets for every layer out of a few numbers, so that a search moves through few dimensions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor


def profile_budgets(
    weights: Mapping[str, Tensor],
    *,
    depth: float = 0.0,
    size: float = 0.0,
    fan_in: float = 0.0,
    first: float = 1.0,
    last: float = 1.0,
) -> dict[str, float]:
    """A multiplier for each layer that follows its depth, size and fan-in.

    The logarithm of a layer's multiplier is ``depth * x + size * y + fan_in * z``, where each feature runs from -1 to 1
    over the network: ``x`` from the first layer to the last, ``y`` and ``z`` from the smallest to the largest layer and
    fan-in, on a logarithmic scale. A feature in which all layers are equal is 0.

    Args:
        weights: Name to weight of shape ``(out, in, ...)``, in the network's order.
        depth: Above 0, later layers are kept denser.
        size: Above 0, larger layers are kept denser.
        fan_in: Above 0, layers with more inputs to an output are kept denser.
        first: Further multiplier of the first layer.
        last: Further multiplier of the last layer.

    Returns:
        Name to multiplier, as :func:`rdsearch.pruning.prune.prune` takes for its budgets.
    """
    features = (
        _from_minus_one_to_one(list(range(len(weights)))),
        _from_minus_one_to_one([math.log(max(1, weight.numel())) for weight in weights.values()]),
        _from_minus_one_to_one([math.log(max(1, weight[:1].numel())) for weight in weights.values()]),
    )
    multipliers = [math.exp(depth * x + size * y + fan_in * z) for x, y, z in zip(*features, strict=True)]
    multipliers[0] *= first
    multipliers[-1] *= last
    return dict(zip(weights, multipliers, strict=True))


def _from_minus_one_to_one(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    return [0.0 if low == high else 2 * (value - low) / (high - low) - 1 for value in values]
