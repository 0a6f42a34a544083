"""The weights that pruning may remove."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy

from rdsearch.base.patterns import matches, require_matches
from rdsearch.errors import PruningError

# Which attributes of which modules are matrices or kernels whose entries may be zero. A subclass is its base.
PRUNABLE_ATTRIBUTES: dict[type[nn.Module], tuple[str, ...]] = {
    _ConvNd: ("weight",),
    nn.Linear: ("weight",),
    nn.Bilinear: ("weight",),
    nn.Embedding: ("weight",),
    nn.EmbeddingBag: ("weight",),
    nn.MultiheadAttention: ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"),
}


def prunable_weights(network: nn.Module, skip: Sequence[str] = ()) -> dict[str, Tensor]:
    """The weight of every convolution, linear layer, embedding and attention projection of ``network``.

    Args:
        network: Any module; it is not traced and not run.
        skip: Glob patterns of weights to leave out (``"classifier*"``); see
            :func:`rdsearch.base.patterns.matches`.

    Returns:
        Name in the state dict to the live parameter, in the network's order. A parameter that several layers
        share appears once, under its first name, and is left out when any of its names is skipped.

    Raises:
        PruningError: A pattern matches nothing, nothing is left to prune, a weight cannot be masked (it is
            not yet initialised, or computed from other parameters), or a weight holds NaN or infinite values.
    """
    names_of: dict[int, list[str]] = {}
    found: dict[int, Tensor] = {}
    for name, weight in _candidates(network):
        names_of.setdefault(id(weight), []).append(name)
        found[id(weight)] = weight
    if not found:
        kinds = sorted({type(module).__name__ for module in network.modules() if not list(module.children())})
        raise PruningError(
            "the network has no prunable layer: no convolution, linear layer, embedding or attention among "
            "its "
            f"modules ({', '.join(kinds)}). Give a network that has one."
        )
    every_name = [name for names in names_of.values() for name in names]
    require_matches(skip, every_name, "skip")
    weights = {
        names[0]: found[key]
        for key, names in names_of.items()
        if not any(matches(name, pattern) for name in names for pattern in skip)
    }
    if not weights:
        raise PruningError(
            f"skip: {', '.join(skip)} leaves nothing to prune of {', '.join(every_name)}. Skip fewer layers."
        )
    require_finite(weights)
    return weights


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


def _candidates(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for path, module in network.named_modules():
        for attribute in _attributes(module):
            weight = getattr(module, attribute)
            if weight is None:  # MultiheadAttention has either one joint projection or three apart
                continue
            name = f"{path}.{attribute}" if path else attribute
            if is_lazy(weight):
                raise PruningError(f"{name} has no values yet. Run the network on one batch first.")
            if not isinstance(weight, nn.Parameter):
                raise PruningError(
                    f"{name} is computed from other parameters (weight norm, spectral norm, a mask), so it "
                    "cannot be "
                    "pruned. Make the parametrization permanent, e.g. by "
                    "torch.nn.utils.parametrize.remove_parametrizations, or leave the layer out of the "
                    "network."
                )
            yield name, weight


def _attributes(module: nn.Module) -> tuple[str, ...]:
    return next((names for kind, names in PRUNABLE_ATTRIBUTES.items() if isinstance(module, kind)), ())
