"""One round of pruning: fewer survivors, exactly as many as asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.base.network.inputs import Inputs
from rdsearch.base.registry import suggest
from rdsearch.errors import PruningError
from rdsearch.pruning import METHODS
from rdsearch.pruning.budgets import budgeted, layer_multipliers
from rdsearch.pruning.layers import Bools, Floats, Layers, Method, Work
from rdsearch.pruning.profile import profile_budgets
from rdsearch.pruning.ranking import highest_alive
from rdsearch.pruning.weights import require_finite


def prune(
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor] | None,
    survivors: int,
    *,
    method: str = "global",
    budgets: Mapping[str, float] | None = None,
    profile: Mapping[str, float] | None = None,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    network: nn.Module | None = None,
    inputs: Callable[[], Inputs] | None = None,
) -> dict[str, Tensor]:
    """Choose which weights survive this round.

    The arithmetic is on the CPU, in float32 only where that is exact. Ties go to the earlier weight, and the seed
    decides the rest: the same weights give the same masks on every machine, but for ``rd_prune``, whose network may
    round differently.

    Args:
        weights: Name to weight, any shape, floating point; see
            :func:`rdsearch.pruning.weights.prunable_weights`.
        masks: Survivors of the round before, boolean, of the weights' names and shapes; ``None`` where all
            are alive.
        survivors: Weights to keep in the whole network.
        method: A name in ``METHODS``.
        budgets: Glob pattern of layers to a multiplier of the layer's survivors, on top of the method's
            allocation. Of several patterns that match a layer the first counts. The method's total is then
            moved until the multiplied counts meet ``survivors``, so that the ratios between the multipliers
            matter; a layer that would need more than is alive passes the rest on.
        profile: Arguments of :func:`rdsearch.pruning.profile.profile_budgets`, whose multipliers come on top of
            the budgets.
        seed: Of the method's random choices (``surp`` makes some).
        options: Further arguments of the method (``surp``: ``alpha``, ``beta``, ``update``, ...).
        network: The network that the weights belong to; needed by ``rd_prune``, and as it was afterwards.
        inputs: Makes one batch of calibration inputs on the network's device; needed by ``rd_prune``, and called
            only by it.

    Returns:
        New boolean masks on the weights' devices, each a subset of the one before, with exactly ``survivors``
        true in all. A layer that was alive keeps at least one weight, unless a multiplier of 0 empties it.

    Raises:
        UnknownNameError: No such method.
        PruningError: The request cannot be met, or does not fit the weights; the message says what is
            possible.
    """
    choose = METHODS.load(method)
    layers = _layers(weights, masks)
    _check_options(method, choose, options or {})
    multipliers = _multipliers(weights, budgets or {}, profile or {})
    _check_survivors(layers, multipliers, survivors)
    if survivors == sum(layers.caps):
        return {name: mask.clone() for name, mask in (masks or all_alive(weights)).items()}

    allocation = choose(Work(layers, seed, network, inputs), **(options or {}))
    choice = budgeted(allocation, layers, multipliers, survivors)
    kept = layers.each(lambda index: highest_alive(choice.scores[index], layers.alive[index], choice.counts[index]))
    return {
        name: torch.from_numpy(mask).reshape(weights[name].shape).to(weights[name].device)
        for name, mask in zip(layers.names, kept, strict=True)
    }


def all_alive(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Masks that remove nothing, on the weights' devices: each is one number seen from everywhere, and read alone."""
    return {
        name: torch.ones((), dtype=torch.bool, device=weight.device).expand(weight.shape)
        for name, weight in weights.items()
    }


def require_possible(
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor] | None,
    survivors: int,
    budgets: Mapping[str, float],
    profile: Mapping[str, float],
) -> None:
    """Check that `prune` can be asked to keep so many, without choosing them.

    Raises:
        PruningError: It cannot; the message says what is possible.
    """
    _check_survivors(_layers(weights, masks), _multipliers(weights, budgets, profile), survivors)


def most_survivors(
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor] | None,
    budgets: Mapping[str, float],
    profile: Mapping[str, float],
) -> int:
    """The most weights that `prune` can be asked to keep: those alive in layers that no multiplier empties."""
    multipliers = _multipliers(weights, budgets, profile)
    return sum(cap for cap, factor in zip(_layers(weights, masks).caps, multipliers, strict=True) if factor > 0)


def _multipliers(
    weights: Mapping[str, Tensor], budgets: Mapping[str, float], profile: Mapping[str, float]
) -> list[float]:
    given = layer_multipliers(list(weights), budgets)
    return [budget * shape for budget, shape in zip(given, profile_budgets(weights, **profile).values(), strict=True)]


def _layers(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor] | None) -> Layers:
    if not weights:
        raise PruningError("there are no weights to prune. Give the result of prunable_weights(network).")
    if masks is not None and list(masks) != list(weights):
        raise PruningError(
            f"masks are for {', '.join(masks)}, weights for {', '.join(weights)}. Give one mask for each "
            "weight, in order."
        )
    require_finite(weights)
    masks = all_alive(weights) if masks is None else masks
    for name, weight in weights.items():
        mask = masks[name]
        if mask.shape != weight.shape or mask.dtype != torch.bool:
            raise PruningError(
                f"the mask of {name} is {mask.dtype} of shape {tuple(mask.shape)}; it must be torch.bool of "
                f"the weight's shape {tuple(weight.shape)}."
            )
    return Layers(
        names=tuple(weights),
        shapes=tuple(tuple(weight.shape) for weight in weights.values()),
        magnitudes=_Magnitudes(list(weights.values())),
        alive=tuple(_flat(masks[name]) for name in weights),
    )


def _flat(mask: Tensor) -> Bools:
    """(size,); of a mask that is one number seen from everywhere, such a one."""
    seen = mask.detach().cpu().numpy()
    return seen.reshape(-1) if any(seen.strides) else np.broadcast_to(seen.reshape(-1)[:1], seen.size)


class _Magnitudes(Sequence[Floats]):
    """Of one layer after the other, while they are looked at."""

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self._weights = weights

    def __len__(self) -> int:
        return len(self._weights)

    @overload
    def __getitem__(self, index: int) -> Floats: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Floats]: ...
    def __getitem__(self, index: int | slice) -> Floats | Sequence[Floats]:
        if isinstance(index, slice):
            return _Magnitudes(self._weights[index])
        weight = self._weights[index].detach()
        # float32 holds what half precision can be, and is sorted in half the time of float64.
        exact = torch.float64 if weight.dtype == torch.float64 else torch.float32
        magnitudes: Floats = weight.to("cpu", exact).abs().flatten().numpy()
        return magnitudes


def _check_options(method: str, choose: Method, options: Mapping[str, Any]) -> None:
    allowed = [p.name for p in inspect.signature(choose).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for option in options:
        if option not in allowed:
            known = f"its options are {', '.join(allowed)}" if allowed else "it has no options"
            nearest = suggest(option, allowed)
            raise PruningError(f"method {method!r} has no option {option!r}; {known}.{nearest}")


def _check_survivors(layers: Layers, multipliers: list[float], survivors: int) -> None:
    kept = [multiplier > 0 for multiplier in multipliers]
    lowest = sum(floor for floor, keep in zip(layers.floors, kept, strict=True) if keep)
    highest = sum(cap for cap, keep in zip(layers.caps, kept, strict=True) if keep)
    if lowest <= survivors <= highest:
        return
    emptied = [name for name, keep in zip(layers.names, kept, strict=True) if not keep]
    where = f" outside of what the budgets empty ({', '.join(emptied)})" if emptied else ""
    raise PruningError(
        f"{survivors} survivors are not possible: {highest} of {sum(layers.sizes)} weights are alive{where}, "
        f"and each layer keeps at least one, so ask for {lowest} to {highest}."
    )
