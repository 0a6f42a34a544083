"""The test of pruning methods of other packages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from rdsearch.base.randomness import isolated_rng
from rdsearch.pruning.layers import Choice, Layers, Work
from rdsearch.pruning.weights import prunable_weights

SHARES = (0.9, 0.5, 0.1)
"""Of the living weights that are asked for, and the fewest and the most that there can be."""


def check_pruning_method(method: Callable[..., Any]) -> list[str]:
    """Try a pruning method out on networks, whole and pruned before, with equal weights and layers of one weight.

    Args:
        method: ``method(work) -> allocation``, as `rdsearch.plugins.Allocation` says.

    Returns:
        One sentence for each problem; empty when all is well.
    """
    found: dict[str, None] = {}
    for case, work in _cases():
        try:
            for problem in _problems(method, work):
                found[f"{problem} ({case})"] = None
        except Exception as error:  # whatever somebody else's code raises
            found[f"it raises {type(error).__name__}: {error} ({case})"] = None
    return list(found)


def _problems(method: Callable[..., Any], work: Work) -> Iterator[str]:
    layers = work.layers
    before = [np.array(magnitudes) for magnitudes in layers.magnitudes]
    allocate, again = method(work), method(work)
    lowest, highest = sum(layers.floors), sum(layers.caps)
    for survivors in sorted({lowest, highest, *(max(lowest, int(share * highest)) for share in SHARES)}):
        choice, repeated = allocate(survivors), again(survivors)
        if not isinstance(choice, Choice):
            yield f"it answers with a {type(choice).__name__}: a rdsearch.plugins.Choice is needed"
            return
        if len(choice.counts) != len(layers.sizes) or len(choice.scores) != len(layers.sizes):
            yield f"{len(choice.counts)} counts and {len(choice.scores)} scores for {len(layers.sizes)} layers"
            return
        if sum(choice.counts) != survivors:
            yield f"its counts sum to {sum(choice.counts)} where {survivors} survivors were asked for"
        for index, (count, floor, cap) in enumerate(zip(choice.counts, layers.floors, layers.caps, strict=True)):
            if not floor <= count <= cap:
                yield f"layer {index} keeps {count} of {cap} living weights: {floor} to {cap} are possible"
            scores = np.asarray(choice.scores[index])
            if scores.shape != (layers.sizes[index],):
                yield f"layer {index} has scores of shape {scores.shape}: ({layers.sizes[index]},) is needed"
            elif np.isnan(scores[layers.alive[index]]).any():
                yield f"layer {index} has scores that are NaN"
            elif not np.array_equal(scores, np.asarray(repeated.scores[index]), equal_nan=True):
                yield "its scores differ from one call to the next: draw by work.generator()"
        if choice.counts != repeated.counts:
            yield "its counts differ from one call to the next: draw by work.generator()"
    if any(not np.array_equal(one, other) for one, other in zip(before, layers.magnitudes, strict=True)):
        yield "it changes the weights that it is given"


def _cases() -> Iterator[tuple[str, Work]]:
    with isolated_rng(0):
        network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 5), nn.Linear(5, 1))
        inputs = torch.rand(8, 1, 6, 6)
    yield "a network that is whole", _work(network, inputs, keep=1.0)
    yield "a network pruned before", _work(network, inputs, keep=0.4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.5)
    yield "a network of equal weights", _work(network, inputs, keep=1.0)


def _work(network: nn.Module, inputs: torch.Tensor, keep: float) -> Work:
    weights = prunable_weights(network, [])
    generator = np.random.default_rng(0)
    magnitudes = [weight.detach().abs().flatten().numpy() for weight in weights.values()]
    alive = tuple(generator.random(each.size) < keep for each in magnitudes)
    for mask in alive:
        mask[0] = True
    for each in magnitudes:
        each.setflags(write=False)
    shapes = tuple(tuple(weight.shape) for weight in weights.values())
    return Work(Layers(tuple(weights), shapes, magnitudes, alive), 7, network, lambda: inputs)
