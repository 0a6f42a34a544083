"""Which tensor of a checkpoint is which of a network's: names with prefixes in common, and entries that are foreign."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from rdsearch.base.network.wrappers import WRAPPER_PARTS

NAMES_SHOWN = 4
"""Names given in a message before the rest is counted only."""

ANCHORS = 8
"""Names of the network, evenly spread, one of which has to be found behind a prefix before all are looked for."""

COPIES = ("ema", "avg", "average", "teacher", "target")
"""Words in the names of copies of a network that training keeps beside it."""


def few(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    listed = list(names)
    rest = len(listed) - NAMES_SHOWN
    return ", ".join(listed[:NAMES_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


@dataclass(frozen=True)
class Matched:
    """A checkpoint's tensors under the network's names.

    Attributes:
        tensors: Those that the network has a name for, by that name.
        fitting: How many of them have the network's shape too.
        misplaced: Weights that the network has no name for, but in a part of its own: those of another network.
        foreign: Names of everything else, which the network has nothing to do with.
    """

    tensors: dict[str, Tensor]
    fitting: int
    misplaced: dict[str, Tensor]
    foreign: list[str]


def match_names(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Matched:
    """Find the prefix that turns a checkpoint's names into the network's.

    Training scripts put the network under an attribute (``model.0.weight``), wrap it (``module.``, ``_orig_mod.``, also
    around a part of it), and wrap that again; a checkpoint of the inner network alone lacks what is in front.

    Args:
        given: The checkpoint's.
        own: The network's.
    """
    strip = len({_without_wrappers(name) for name in own}) == len(own)
    named = {_without_wrappers(name) if strip else name: tensor for name, tensor in given.items()}
    forms = [{_without_wrappers(name) if strip else name: name for name in own}]
    if inner := _common_prefix(forms[0]):
        forms.append({bare.removeprefix(inner): name for bare, name in forms[0].items()})
    fitting, prefix, form = max(
        (_under(prefix, named, form, own) for form in forms for prefix in _prefixes(named, form)),
        key=lambda found: found[0],
        default=(0, "", forms[0]),
    )
    tensors, misplaced, foreign = {}, {}, []
    parts = {name.partition(".")[0] for name in form}
    for name, tensor in named.items():
        bare = name.removeprefix(prefix)
        if name.startswith(prefix) and bare in form:
            tensors[form[bare]] = tensor
        elif fitting == 0 or (name.startswith(prefix) and _is_weight(bare, tensor) and _belongs(bare, parts)):
            misplaced[name] = tensor
        else:
            foreign.append(name)
    return Matched(tensors, fitting, misplaced, foreign)


def _under(
    prefix: str, named: Mapping[str, Tensor], form: Mapping[str, str], own: Mapping[str, Tensor]
) -> tuple[int, str, Mapping[str, str]]:
    """How many tensors have the network's names and shapes behind a prefix; of equals, the first is taken."""
    fitting = 0
    for bare, name in form.items():
        tensor = named.get(prefix + bare)
        fitting += tensor is not None and tensor.shape == own[name].shape
    return fitting, prefix, form


def _prefixes(named: Mapping[str, Tensor], form: Mapping[str, str]) -> list[str]:
    """The beginnings of names behind which there may be the network's, short ones first and copies of it last."""
    found = {""}
    for name in named:
        parts = name.split(".")
        found |= {".".join(parts[:count]) + "." for count in range(1, len(parts))}
    bare = list(form)
    anchors = [bare[at] for at in np.linspace(0, len(bare) - 1, min(ANCHORS, len(bare))).astype(int)]
    likely = [prefix for prefix in found if any(prefix + name in named for name in anchors)]
    return sorted(likely, key=lambda prefix: (any(word in prefix for word in COPIES), prefix.count("."), prefix))


def _without_wrappers(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPER_PARTS)


def _common_prefix(names: Iterable[str]) -> str:
    """The parts with which all names begin, up to a last dot; empty where there are none."""
    beginnings = [name.split(".")[:-1] for name in names]
    common = []
    for parts in zip(*beginnings, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return "".join(f"{part}." for part in common)


def _is_weight(name: str, tensor: Tensor) -> bool:
    """Whether it is more than a counter, a table of positions or frequencies, or a statistic."""
    learned = tensor.ndim > 1 or name.rpartition(".")[2] in {"weight", "bias"}
    return learned and tensor.is_floating_point() and tensor.numel() > 1


def _belongs(name: str, parts: set[str]) -> bool:
    """Whether a tensor would be in a part of the network, or one more part beside numbered ones."""
    first = name.partition(".")[0]
    return first in parts or (first.isdigit() and any(part.isdigit() for part in parts))
