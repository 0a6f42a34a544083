"""The first stage of a file: a float network's weights to levels, by the method of the recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import nn

from rdsearch.base.network.inputs import Inputs
from rdsearch.config.recipe import QuantizationRecipe
from rdsearch.quantization import METHODS
from rdsearch.quantization.batchnorm import batchnorm_layers
from rdsearch.quantization.findings import Findings
from rdsearch.quantization.method import Work, copied
from rdsearch.quantization.steps import steps_of
from rdsearch.quantization.uniform import Quantized

WeightLevels: TypeAlias = dict[str, Quantized]
"""Levels and step of every weight, by its name in the state dict."""


@dataclass(frozen=True)
class Decoded:
    """A network as its file will give it back, between one stage and the next.

    Attributes:
        network: The weights that ``weights`` decode to; biases and normalisations are still float.
        weights: Levels of every weight.
        vectors: Levels of biases, scales and shifts that have some already, by their names in the file.
    """

    network: nn.Module
    weights: WeightLevels
    vectors: Mapping[str, Quantized] = field(default_factory=dict)


def quantize(
    network: nn.Module,
    names: Sequence[str],
    fresh_network: Callable[[], nn.Module],
    settings: QuantizationRecipe,
    calibration: Sequence[Inputs],
    *,
    in_place: bool = False,
    findings: Findings | None = None,
) -> Decoded:
    """Choose the levels of a network's weights.

    Args:
        network: Float weights, pruned ones exactly zero; not changed but for ``in_place``.
        names: The weights, in the state dict.
        fresh_network: Makes networks of the same architecture.
        settings: Method and steps.
        calibration: Inputs on the network's device, for methods that look at the inputs of layers, and for matching
            batch normalisation.
        in_place: Whether the network itself becomes the decoded one, where nothing looks at its float weights later.
        findings: What is known of the network by these inputs already.

    Raises:
        QuantizationError: A weight is not finite, the step is too small, or the method lacks calibration inputs.
        PruningError: A pattern of ``settings.plain`` or ``settings.step_multipliers`` matches no weight.
    """
    findings = findings or Findings()
    apart = not in_place or not METHODS.is_own(settings.method) or _is_matched(network, settings)
    coarse = (copied(network, fresh_network) if apart else network).eval()
    steps, plain = steps_of(
        network,
        names,
        settings.step,
        granularity=settings.granularity,
        multipliers=settings.step_multipliers,
        plain=settings.plain,
        plain_step=settings.plain_step,
        calibration=calibration,
        findings=findings,
    )
    work = Work(
        network,
        coarse,
        steps=steps,
        dead_zone=settings.dead_zone,
        rate_weight=settings.rate_weight,
        damping=settings.damping,
        plain=plain,
        batches=calibration,
        match_batchnorm=settings.reestimate_batchnorm,
        findings=findings,
        fresh_network=fresh_network,
    )
    return Decoded(coarse, METHODS.load(settings.method)(work))


def _is_matched(network: nn.Module, settings: QuantizationRecipe) -> bool:
    return settings.reestimate_batchnorm and bool(batchnorm_layers(network))
