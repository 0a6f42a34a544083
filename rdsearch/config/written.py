"""A search file as a user would write it, with comments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from rdsearch.base.patterns import matches
from rdsearch.config.yamlfile import dump_yaml

GROUPS_MAX = 6
"""Of layers that get a multiplier of their own: each is one more dimension for a search."""

LARGEST_SHARE = 0.7
"""Of the weights: a group that holds more is told apart further, as long as that makes no more groups than these."""

BUDGETS: dict[str, Any] = {"float": [0.5, 2.0], "log": True}
"""Range of a group's multiplier."""

BUDGETS_REMARK = "a multiplier of each group's share of the survivors; leave it out in a search of few trials"

WIDTH = 100
"""Columns after which a comment stands above its line."""

_END = "...\n"
"""What YAML writes after a value that is no mapping and no list."""

_COMMENTS = {
    "checkpoint": "trained weights",
    "train": "how the dense network is trained, once, before the search",
    "pruning.method": "which weights go",
    "quantization.method": "which values the others take",
    "rounds": "each of them makes a file",
    "rate": "share of the survivors that goes in a round",
    "budgets": BUDGETS_REMARK,
    "epochs": "of retraining in a round",
    "quantization.training": "for a size of the file; larger ones where none keeps the accuracy",
    "distillation": "share of the dense network's outputs in the loss",
    "lr": "learning rate of the retraining",
    "step": "between the values that weights take: larger is smaller and coarser",
    "bias_bits": "of biases and normalisation",
    "constraints": "worse files stay off the front, and their trials end early",
    "cpu": "cores a trial",
}


@dataclass(frozen=True)
class Layer:
    """A layer that can be pruned.

    Attributes:
        kind: Its class, such as ``Conv2d``.
        shape: Of its weight.
    """

    kind: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers its weight has."""
        return prod(self.shape)


def layer_groups(weights: Mapping[str, Layer]) -> dict[str, str]:
    """Groups of a network's layers by the beginnings of their names, the largest ones.

    A group is called as its layers are; where that is a mere number, as in an ``nn.Sequential``, with their kind before
    it: ``conv_0``, ``linear_3``, ``layers_1``.

    Args:
        weights: Name of each weight that can be pruned, to its layer.

    Returns:
        Name of each group to the pattern of its layers, in the network's order; empty where there is but one.
    """
    layers = {name: name.rpartition(".")[0] or name for name in weights}
    deepest = max((layer.count(".") + 1 for layer in layers.values()), default=0)
    found: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for depth in range(1, deepest + 1):
        deeper: dict[str, list[str]] = {}
        counts: dict[str, int] = {}
        for name, layer in layers.items():
            prefix = ".".join(layer.split(".")[:depth])
            deeper.setdefault(prefix, []).append(layer)
            counts[prefix] = counts.get(prefix, 0) + weights[name].size
        if len(found) > 1 and len(deeper) > GROUPS_MAX:
            break
        found, sizes = deeper, counts
        if len(found) > 1 and max(sizes.values()) <= LARGEST_SHARE * sum(sizes.values()):
            break
    if len(found) < 2:
        return {}
    kept = sorted(found, key=lambda prefix: -sizes[prefix])[:GROUPS_MAX]
    kinds = {layers[name]: weight.kind for name, weight in weights.items()}
    return {
        _group_name(prefix, [kinds[layer] for layer in found[prefix]]): (
            prefix if found[prefix] == [prefix] else f"{prefix}.*"
        )
        for prefix in found
        if prefix in kept
    }


def _group_name(prefix: str, kinds: Sequence[str]) -> str:
    if prefix.isdecimal():
        # Conv2d and ConvTranspose1d without their dimensions.
        prefix = f"{re.sub('[0-9]d$', '', kinds[0]).lower() if len(kinds) == 1 else 'layers'}_{prefix}"
    # Names of groups become parts of parameters' names, in which a dot has another meaning.
    return prefix.replace(".", "_")


def groups_text(groups: Mapping[str, str], weights: Mapping[str, Layer]) -> list[str]:
    """What is in each of `layer_groups`, a line a group."""
    lines = []
    for group, pattern in groups.items():
        held = [layer for name, layer in weights.items() if matches(name, pattern)]
        count = f"{sum(layer.size for layer in held):,} weights"
        what = f"{held[0].kind} {'×'.join(map(str, held[0].shape))}" if len(held) == 1 else f"{len(held)} layers"
        lines.append(f"{group}: {what}, {count}")
    return lines


def search_text(tree: Mapping[str, Any], head: Sequence[str], remarks: Mapping[str, str]) -> str:
    """A search file's text.

    Args:
        tree: Its mapping.
        head: Lines of the comment that it begins with.
        remarks: Comments of keys, by ``section.key``, instead of the usual ones; of several lines, they stand above.
    """
    lines = [f"# {line}" for line in head]
    for section, keys in tree.items():
        lines.append(f"{section}:")
        for key, value in keys.items():
            if section == "recipe":
                lines.append(f"  {key}:")
                lines += [_line(f"recipe.{key}.{name}", name, entry, remarks, 4) for name, entry in value.items()]
            else:
                lines.append(_line(f"{section}.{key}", key, value, remarks, 2))
    return "\n".join(lines) + "\n"


def _line(path: str, key: str, value: Any, remarks: Mapping[str, str], indent: int) -> str:
    text = dump_yaml(value, in_one_line=True)
    margin = " " * indent
    written = f"{margin}{key}: {text.removesuffix(_END).strip()}"
    remark = remarks.get(path) or _COMMENTS.get(path.partition(".")[2]) or _COMMENTS.get(key)
    if remark is None:
        return written
    if "\n" not in remark and len(written) + len(remark) < WIDTH:
        return f"{written}  # {remark}"
    return "\n".join([*(f"{margin}# {line}" for line in remark.split("\n")), written])
