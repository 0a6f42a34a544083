"""The first stage of a file: a float network's weights to levels, by the method of the recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from torch import nn

from rdsearch.base.inputs import Inputs
from rdsearch.config.recipe import QuantizationRecipe
from rdsearch.pruning.patterns import matches, require_matches
from rdsearch.quantization import METHODS
from rdsearch.quantization.folding import folded
from rdsearch.quantization.method import Work
from rdsearch.quantization.uniform import Quantized, survivor_rms

WeightLevels: TypeAlias = dict[str, Quantized]
"""Levels and step of every weight, by its name in the state dict."""


@dataclass(frozen=True)
class Decoded:
    """A network as its file will give it back, between one stage and the next.

    Attributes:
        network: The weights that ``weights`` decode to; biases and normalisations are still float.
        weights: Levels of every weight.
    """

    network: nn.Module
    weights: WeightLevels


def quantize(
    network: nn.Module,
    names: Sequence[str],
    fresh_network: Callable[[], nn.Module],
    settings: QuantizationRecipe,
    calibration: Sequence[Inputs],
) -> Decoded:
    """Choose the levels of a network's weights.

    Args:
        network: Float weights, pruned ones exactly zero; not changed.
        names: The weights, in the state dict.
        fresh_network: Makes networks of the same architecture.
        settings: Method and steps.
        calibration: Inputs on the network's device, for methods that look at the inputs of layers, and for matching
            batch normalisation.

    Raises:
        QuantizationError: A weight is not finite, the step is too small, or the method lacks calibration inputs.
        PruningError: A pattern of ``settings.plain`` or ``settings.step_multipliers`` matches no weight.
    """
    work = Work(
        network,
        copied(network, fresh_network),
        steps=_steps(network, names, settings),
        dead_zone=settings.dead_zone,
        rate_weight=settings.rate_weight,
        plain=_plain(names, settings),
        batches=calibration,
        match_batchnorm=settings.reestimate_batchnorm,
    )
    weights = METHODS.load(settings.method)(work)
    return Decoded(work.coarse, weights)


def foldable_form(
    network: nn.Module, fresh_network: Callable[[], nn.Module], settings: QuantizationRecipe
) -> nn.Module:
    """The network itself, or a copy with batch normalisation folded where the recipe asks for it.

    Raises:
        QuantizationError: There is no batch normalisation to fold.
    """
    return folded(network, fresh_network) if settings.fold_batchnorm else network


def copied(network: nn.Module, fresh_network: Callable[[], nn.Module]) -> nn.Module:
    """A copy on the same device, in evaluation mode."""
    copy = fresh_network().to(next(iter(network.parameters())).device)
    copy.load_state_dict(network.state_dict())
    return copy.eval()


def _steps(network: nn.Module, names: Sequence[str], settings: QuantizationRecipe) -> dict[str, float]:
    """Of each weight: the recipe's step in units of the survivors' root mean square, times the weight's multiplier."""
    require_matches(settings.step_multipliers, names, "quantization.step_multipliers")
    state = network.state_dict()
    shared = survivor_rms([state[name] for name in names])
    units = {name: shared if settings.granularity == "network" else survivor_rms([state[name]]) for name in names}
    return {name: settings.step * _multiplier(settings.step_multipliers, name) * unit for name, unit in units.items()}


def _multiplier(multipliers: Mapping[str, float], name: str) -> float:
    found = (multiplier for pattern, multiplier in multipliers.items() if matches(name, pattern))
    return next(found, 1.0)


def _plain(names: Sequence[str], settings: QuantizationRecipe) -> frozenset[str]:
    require_matches(settings.plain, names, "quantization.plain")
    return frozenset(name for name in names for pattern in settings.plain if matches(name, pattern))
