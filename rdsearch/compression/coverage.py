"""What a recipe's methods do with each weight, said before any work: treated, or left aside, with its share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import torch
from torch import nn

from rdsearch.base.network.computed import fold_computed
from rdsearch.base.network.inputs import Inputs, in_parts
from rdsearch.base.network.weights import weights_of
from rdsearch.base.patterns import matches
from rdsearch.compression.calibration import training_inputs
from rdsearch.compression.layout import layout_of
from rdsearch.config.recipe import QuantizationRecipe, Recipe
from rdsearch.pruning.weights import prunable_weights
from rdsearch.quantization import LOOK_AT_INPUTS
from rdsearch.quantization.batchnorm import batchnorm_layers
from rdsearch.quantization.treatment import why_not
from rdsearch.quantization.watch import Watch, run_watched
from rdsearch.tasks.task import Task
from rdsearch.tasks.weights.state import load_state

EXAMPLES = 4
"""Training inputs that a network is run on, together and one by one, to see what it does with its weights."""
NAMES_SHOWN = 4


def describe_treatment(task: Task, recipe: Recipe) -> list[str]:
    """What a search by a recipe leaves aside, in a few sentences with shares of the network's weights.

    Args:
        task: Its network is run on a few training examples, with the weights that it starts from where there are no
            trained ones.
        recipe: Whose methods they are.
    """
    state = task.dense_state() if task.is_trained else task.initial_state()
    network = task.fresh_network()
    load_state(network, state)
    network = fold_computed(network)
    return coverage(network, recipe, training_inputs(task, EXAMPLES, 0, torch.device("cpu")))


def left_aside(task: Task, recipes: Iterable[Recipe]) -> list[str]:
    """`describe_treatment` for the methods of several recipes, each sentence once."""
    methods = {(recipe.quantization.method, recipe.pruning.removes): recipe for recipe in recipes}
    return list(dict.fromkeys(line for recipe in methods.values() for line in describe_treatment(task, recipe)))


def coverage(network: nn.Module, recipe: Recipe, inputs: Inputs) -> list[str]:
    """`describe_treatment` for a network, and inputs on its device."""
    weights = weights_of(network)
    total = max(1, sum(weight.numel() for weight in weights.values()))
    counts = {name: weight.numel() / total for name, weight in weights.items()}
    lines: list[str] = []
    if recipe.pruning.removes:
        kept = set(weights) - set(prunable_weights(network, recipe.pruning.skip))
        lines += _left("pruning", "never pruned, as skip says", counts, dict.fromkeys(sorted(kept), ""))
    else:
        lines.append("nothing is pruned")
    watch = _run(network, list(weights), inputs)
    if recipe.quantization.method in LOOK_AT_INPUTS:
        lines += _quantisation(recipe.quantization, watch, counts)
    if recipe.quantization.reestimate_batchnorm:
        lines += _normalisations(network, watch, inputs)
    small = [entry.name for entry in layout_of(network).of("vector") if len(entry.shape) > 1]
    if small:
        lines.append(
            f"small parameters of several axes are vectors at {recipe.quantization.bias_bits} bits, as biases are: "
            f"{_listed(small)}"
        )
    return lines


def _quantisation(settings: QuantizationRecipe, watch: Watch, counts: Mapping[str, float]) -> Iterator[str]:
    plain = {name for name in counts if any(matches(name, pattern) for pattern in settings.plain)}
    others = {
        name: why_not(watch.uses.get(name))
        for name in counts
        if name not in plain and (name not in watch.uses or watch.uses[name].form is None)
    }
    share = 1.0 - sum(counts[name] for name in {*others, *plain})
    yield f"{settings.method}: {share:.1%} of the weights are quantised with regard to the inputs of their layers"
    yield from _left(settings.method, "rounded by rate alone", counts, others)
    yield from _left(settings.method, "rounded to nearest, as plain says", counts, dict.fromkeys(sorted(plain), ""))


def _left(method: str, what: str, counts: Mapping[str, float], names: Mapping[str, str]) -> Iterator[str]:
    if names:
        share = sum(counts[name] for name in names)
        listed = _listed([f"{name} ({why})" if why else name for name, why in names.items()])
        yield f"{method}: {share:.1%} of the weights are {what}: {listed}"


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:NAMES_SHOWN])
    return shown + (f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else "")


def _normalisations(network: nn.Module, watch: Watch, inputs: Inputs) -> Iterator[str]:
    """Batch normalisations that cannot be matched, or perhaps not."""
    layers = batchnorm_layers(network)
    idle = [name for name in layers if name not in watch.normalisations]
    counts = [_run(network, [], one).normalisations for one in in_parts(inputs, 1)] if layers else []
    uneven = [name for name in layers if name not in idle and len({one.get(name, 0) for one in counts}) > 1]
    if idle:
        yield f"batch normalisation that no training input reaches is left as it is: {_listed(idle)}"
    if uneven:
        yield (
            "batch normalisation that runs more often for some inputs than for others is left as it is where the "
            f"compressed network runs it another number of times than the float one: {_listed(uneven)}"
        )


def _run(network: nn.Module, names: list[str], inputs: Inputs) -> Watch:
    """What is done with weights, and how often each batch normalisation runs."""
    return run_watched(network, names, inputs, lambda name, product: None)
