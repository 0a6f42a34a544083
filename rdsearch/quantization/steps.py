"""Which distance between levels each weight has, and which weights are rounded to nearest whatever the method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from torch import Tensor, nn

from rdsearch.base.patterns import matches, require_matches
from rdsearch.quantization.uniform import survivor_rms


def steps_of(
    network: nn.Module,
    names: Sequence[str],
    step: float,
    *,
    granularity: Literal["network", "tensor"],
    multipliers: Mapping[str, float],
) -> dict[str, float]:
    """The step of each weight.

    Args:
        network: Pruned weights exactly zero.
        names: The weights, in the state dict.
        step: In units of the survivors' root mean square...
        granularity: ...in the whole network, or in the weight itself.
        multipliers: Pattern to factor of the weights that match it; the first one counts.

    Raises:
        PruningError: A pattern matches no weight.
    """
    state: Mapping[str, Tensor] = network.state_dict()
    if granularity == "network":
        units = dict.fromkeys(names, survivor_rms([state[name] for name in names]))
    else:
        units = {name: survivor_rms([state[name]]) for name in names}
    require_matches(multipliers, names, "quantization.step_multipliers")
    factors = {
        name: next((factor for pattern, factor in multipliers.items() if matches(name, pattern)), 1.0) for name in names
    }
    return {name: step * factors[name] * unit for name, unit in units.items()}


def plain_steps(network: nn.Module, names: Iterable[str], step: float) -> dict[str, float]:
    """The step of each plain weight, from a step in units of its own survivors' root mean square."""
    state: Mapping[str, Tensor] = network.state_dict()
    return {name: step * survivor_rms([state[name]]) for name in sorted(names)}


def plain_weights(patterns: Iterable[str], names: Sequence[str]) -> frozenset[str]:
    """The weights that match a pattern of ``quantization.plain``.

    Raises:
        PruningError: A pattern matches none.
    """
    patterns = list(patterns)
    require_matches(patterns, names, "quantization.plain")
    return frozenset(name for name in names for pattern in patterns if matches(name, pattern))
