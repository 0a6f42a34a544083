"""What networks return."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from rdsearch.errors import TaskError


def tensors_of(output: Any) -> Iterator[Tensor]:
    """The tensors in a network's output: itself, or those in sequences and mappings, in order."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from tensors_of(value)
    elif isinstance(output, Sequence) and not isinstance(output, str):
        for value in output:
            yield from tensors_of(value)


LOGITS = ("logits", "out")
"""Names under which networks return what counts beside what training alone looks at: torchvision's networks with
auxiliary classifiers, those of ``transformers``; torchvision's for segmentation."""


def main_output(output: Any) -> Any:
    """The tensor that counts in what a network returns: itself, what is called ``logits`` or ``out``, or the only one.

    Raises:
        TaskError: There are several, and none of them has such a name.
    """
    if isinstance(output, Tensor):
        return output
    for name in LOGITS:
        found = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if isinstance(found, Tensor):
            return found
    tensors = list(tensors_of(output))
    if len(tensors) == 1:
        return tensors[0]
    names = f" ({', '.join(map(str, output))})" if isinstance(output, Mapping) else ""
    raise TaskError(
        f"the network returns a {type(output).__name__} of {len(tensors)} tensors{names}, none of them called "
        f"{' or '.join(LOGITS)}: give a loss= and an evaluate= that take it, or a network that returns one tensor"
    )


def own_loss(output: Any) -> Tensor | None:
    """The loss that a network returns with its output, as those of ``transformers`` do when they are given labels."""
    if isinstance(output, Tensor):
        return None
    found = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    return found if isinstance(found, Tensor) and found.numel() == 1 else None
