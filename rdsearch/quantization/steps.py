"""Which distance between levels each weight has, and which weights are rounded to nearest whatever the method."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from torch import Tensor, nn

from rdsearch.base.network.inputs import Inputs
from rdsearch.base.patterns import matches
from rdsearch.quantization.findings import Findings
from rdsearch.quantization.sensitivity import sensitive_steps
from rdsearch.quantization.uniform import survivor_rms


def steps_of(
    network: nn.Module,
    names: Sequence[str],
    step: float,
    *,
    granularity: Literal["network", "tensor", "sensitivity"],
    multipliers: Mapping[str, float],
    plain: Collection[str],
    plain_step: float,
    calibration: Sequence[Inputs] = (),
    findings: Findings | None = None,
) -> tuple[dict[str, float], frozenset[str]]:
    """The step of each weight, and which weights are rounded to nearest.

    Args:
        network: Pruned weights exactly zero.
        names: The weights, in the state dict.
        step: In units of the survivors' root mean square...
        granularity: ...in the whole network, or in the weight itself; or in the whole network, and then shared out by
            what the outputs lose, see `sensitivity`.
        multipliers: Pattern to factor of the weights that match it; the first one counts.
        plain: Patterns of the weights that are rounded to nearest.
        plain_step: Their step, in units of the root mean square of each one's own survivors.
        calibration: Inputs on the network's device, for ``sensitivity``.
        findings: What is known of the network by these inputs already.

    Raises:
        QuantizationError: ``sensitivity`` has no inputs, or finds outputs that are not finite.
    """
    state: Mapping[str, Tensor] = network.state_dict()
    shared = survivor_rms([state[name] for name in names]) if granularity != "tensor" else 0.0
    own = {name: survivor_rms([state[name]]) for name in names} if granularity == "tensor" or plain else {}
    rounded = frozenset(name for name in names if any(matches(name, pattern) for pattern in plain))
    others = {name: step * (own[name] if granularity == "tensor" else shared) for name in names if name not in rounded}
    if granularity == "sensitivity":
        others = sensitive_steps(network, others, calibration, findings)

    def step_of(name: str) -> float:
        if name in rounded:
            return plain_step * own[name]
        return others[name] * next((factor for pattern, factor in multipliers.items() if matches(name, pattern)), 1.0)

    return {name: step_of(name) for name in names}, rounded
