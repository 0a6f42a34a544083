"""The tests of networks and data sets of other packages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from rdsearch.base.blame import blamed
from rdsearch.base.network.computed import fold_computed
from rdsearch.errors import RdsearchError
from rdsearch.pruning.weights import prunable_weights
from rdsearch.tasks.loading import own_source
from rdsearch.tasks.splits import Split, as_split


def check_network(make: Callable[..., nn.Module], **options: Any) -> list[str]:
    """Try a network's function out.

    Args:
        make: Returns a new network each time.
        **options: That it needs.

    Returns:
        One sentence for each problem; empty when all is well.
    """
    return _said(_network(make, options))


def check_dataset(make: Callable[..., Any], **options: Any) -> list[str]:
    """Try a data set's function out; its test split is read.

    Args:
        make: Returns a mapping with ``train``, and optionally ``validation`` and ``test``.
        **options: That it needs.

    Returns:
        One sentence for each problem; empty when all is well.
    """
    return _said(_dataset(make, options))


def _said(problems: Iterator[str]) -> list[str]:
    found = []
    try:
        with blamed("it fails"):
            found += list(problems)
    except RdsearchError as error:
        found.append(str(error))
    return found


def _network(make: Callable[..., nn.Module], options: dict[str, Any]) -> Iterator[str]:
    one, other = make(**options), make(**options)
    if not isinstance(one, nn.Module):
        yield f"it returns a {type(one).__name__}: an nn.Module is needed"
        return
    if {id(parameter) for parameter in one.parameters()} & {id(parameter) for parameter in other.parameters()}:
        yield "it returns the same network every time: it has to make a new one"
    if _shapes(one) != _shapes(other):
        yield "its networks differ in names or shapes of tensors from one call to the next"
    broken = [name for name, tensor in one.state_dict().items() if not torch.isfinite(tensor).all()]
    if broken:
        yield f"weights that are not finite: {', '.join(broken)}"
    if not prunable_weights(fold_computed(one), []):
        yield "it has no weights that could be pruned"


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _dataset(make: Callable[..., Any], options: dict[str, Any]) -> Iterator[str]:
    one, other = (own_source("the data set", make(**options)) for _ in range(2))
    if one.train.fingerprint != other.train.fingerprint:
        yield "its training data differs from one call to the next: draw it by a fixed seed"
    tests = [as_split(each.test() if callable(each.test) else each.test, "test") for each in (one, other) if each.test]
    if len({split.fingerprint for split in tests}) > 1:
        yield "its test data differs from one call to the next: draw it by a fixed seed"
    splits: dict[str, Split] = {"train": one.train}
    if one.validation is not None:
        splits["validation"] = one.validation
    if tests:
        splits["test"] = tests[0]
    forms = {}
    for role, split in splits.items():
        inputs, _ = next(iter(split.batches(4)))
        forms[role] = (tuple(inputs.shape[1:]), inputs.dtype) if isinstance(inputs, torch.Tensor) else type(inputs)
        if isinstance(inputs, torch.Tensor) and inputs.is_floating_point() and not torch.isfinite(inputs).all():
            yield f"{role}: inputs that are not finite"
    if len(set(forms.values())) > 1:
        yield f"the inputs of its splits differ in shape or type: {forms}"
