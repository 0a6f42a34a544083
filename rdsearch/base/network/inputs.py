"""A network's inputs: a tensor, a tuple or list of tensors (positional), or a mapping of tensors (by keyword).

Every tensor has one entry for each example along its first axis. Tuples and mappings inside others count as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from rdsearch.errors import TaskError

Inputs: TypeAlias = Tensor | Sequence[Any] | Mapping[str, Any]


def forward(network: nn.Module, inputs: Inputs) -> Any:
    """The network's output for inputs."""
    if isinstance(inputs, Tensor):
        return network(inputs)
    if isinstance(inputs, Mapping):
        return network(**inputs)
    return network(*inputs)


def count_examples(inputs: Inputs) -> int:
    """How many examples there are.

    Raises:
        TaskError: The tensors have different lengths, or there are none, or something else beside them.
    """
    tensors = list(_tensors(inputs))
    lengths = {len(tensor) if tensor.dim() else 0 for tensor in tensors}
    if len(lengths) != 1 or not all(tensor.dim() for tensor in tensors):
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors) or "no tensors"
        raise TaskError(f"a batch of inputs holds {shapes}: every tensor needs one entry for each example")
    return lengths.pop()


def some_examples(inputs: Inputs, part: slice) -> Inputs:
    """The examples in ``part``, in the form of ``inputs``; a list becomes a tuple.

    Raises:
        TaskError: See `count_examples`.
    """
    count_examples(inputs)
    return _each(lambda tensor: tensor[part], inputs)


def in_parts(inputs: Inputs, size: int) -> Iterator[Inputs]:
    """The inputs, ``size`` examples at a time, the last part possibly smaller.

    Raises:
        TaskError: See `count_examples`.
    """
    for start in range(0, count_examples(inputs), size):
        yield some_examples(inputs, slice(start, start + size))


def joined(batches: Sequence[Inputs]) -> Inputs:
    """The examples of all batches, of which there is at least one, in one.

    Raises:
        TaskError: The batches differ in their form, or in the shapes of their examples.
    """
    try:
        return _joined(batches)
    except (RuntimeError, TypeError, ValueError, LookupError) as error:
        raise TaskError(
            f"batches of inputs cannot be joined into one ({error}): give every example the same shape, or larger "
            "batches"
        ) from None


def _joined(batches: Sequence[Any]) -> Inputs:
    first = batches[0]
    if isinstance(first, Tensor):
        return torch.cat(list(batches))
    if isinstance(first, Mapping):
        return {name: _joined([batch[name] for batch in batches]) for name in first}
    return tuple(_joined(entries) for entries in zip(*batches, strict=True))


def _each(change: Callable[[Tensor], Tensor], inputs: Any) -> Inputs:
    if isinstance(inputs, Tensor):
        return change(inputs)
    if isinstance(inputs, Mapping):
        return {name: _each(change, entry) for name, entry in inputs.items()}
    return tuple(_each(change, entry) for entry in inputs)


def _tensors(inputs: Any) -> Iterator[Tensor]:
    if isinstance(inputs, Tensor):
        yield inputs
    elif isinstance(inputs, Mapping):
        for entry in inputs.values():
            yield from _tensors(entry)
    elif isinstance(inputs, tuple | list):
        for entry in inputs:
            yield from _tensors(entry)
    else:
        raise TaskError(
            f"a batch of inputs holds a {type(inputs).__name__}: give tensors, or tuples or mappings of them"
        )
