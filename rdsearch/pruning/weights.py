"""The weights that pruning may remove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from rdsearch.base.network.weights import weights_of
from rdsearch.base.patterns import matches, require_matches
from rdsearch.errors import PruningError


def prunable_weights(network: nn.Module, skip: Sequence[str] = ()) -> dict[str, Tensor]:
    """Every weight of ``network`` (see `rdsearch.base.network.weights.weights_of`) but for those that are skipped.

    Args:
        network: Any module; it is not traced and not run.
        skip: Glob patterns of weights to leave out (``"classifier*"``); see
            :func:`rdsearch.base.patterns.matches`.

    Returns:
        Name in the state dict to the live parameter, in the network's order. A parameter that several layers
        share appears once, under its first name, and is left out when any of its names is skipped.

    Raises:
        PruningError: A pattern matches nothing, a weight is not yet initialised, or holds NaN or infinite values.
    """
    found = weights_of(network)
    names_of: dict[int, list[str]] = {id(weight): [] for weight in found.values()}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        if is_lazy(parameter):
            raise PruningError(f"{name} has no values yet. Run the network on one batch first.")
        if id(parameter) in names_of:
            names_of[id(parameter)].append(name)
    require_matches(skip, [name for names in names_of.values() for name in names], "skip")
    weights: dict[str, Tensor] = {
        name: weight
        for name, weight in found.items()
        if not any(matches(other, pattern) for other in names_of[id(weight)] for pattern in skip)
    }
    require_finite(weights)
    return weights


def nothing_to_prune(network: nn.Module, skip: Sequence[str] = ()) -> str:
    """Why there is nothing to prune, in words."""
    every = weights_of(network)
    if every:
        return (
            f"skip: {', '.join(skip)} leaves nothing to prune of {', '.join(every)}. Skip fewer layers, or set "
            "pruning.rate: 0, which prunes none."
        )
    kinds = sorted({type(module).__name__ for module in network.modules() if not list(module.children())})
    return (
        f"the network has nothing to prune: no weight of two axes or more in its modules ({', '.join(kinds)}). Set "
        "pruning.rate: 0 to quantise and code it as it is."
    )


def require_finite(weights: Mapping[str, Tensor]) -> None:
    """Check that no weight is NaN or infinite.

    Raises:
        PruningError: Some are; the message names their layers and counts them.
    """
    counts = {name: int((~torch.isfinite(weight.detach())).sum()) for name, weight in weights.items()}
    bad = {name: count for name, count in counts.items() if count}
    if bad:
        listed = ", ".join(f"{name} ({count} of {weights[name].numel()})" for name, count in bad.items())
        raise PruningError(
            f"weights are NaN or infinite in {listed}. Mend the checkpoint, or train again with a lower learning rate."
        )
