"""What of a task the defaults depend on."""

from __future__ import annotations

import torch
from torch import nn

from rdsearch.base.blame import blamed
from rdsearch.base.device import choose_device
from rdsearch.base.network.inputs import count_examples
from rdsearch.base.network.modes import forward_in_use
from rdsearch.base.network.outputs import tensors_of
from rdsearch.base.randomness import isolated_rng
from rdsearch.compression.calibration import training_inputs
from rdsearch.compression.layout import layout_of
from rdsearch.compression.measure import dense_network
from rdsearch.compression.packing.quantize import quantize
from rdsearch.compression.target import smallest_file
from rdsearch.config.defaults import Kind, calibration_for, quantizer_of
from rdsearch.config.recipe import QuantizationRecipe, Recipe
from rdsearch.errors import QuantizationError, RdsearchError
from rdsearch.quantization import needs_calibration
from rdsearch.quantization.batchnorm import batchnorm_layers
from rdsearch.tasks.task import Task

EXAMPLES = 8
"""That the quantiser is tried on."""
RUN = 2
"""That the network is run on to see how large what its layers give is."""


def kind_of(task: Task, *, look: bool = True) -> Kind:
    """The kind of a task.

    Args:
        task: Its network is made, and not trained.
        look: Find out whether ``sequential`` can treat the network, by letting it try on a few examples.
    """
    return Kind(
        accuracy=task.is_accuracy,
        trains=task.loss is not None,
        calibrates=not look or _calibrates(task),
        parameters=sum(parameter.numel() for parameter in task.fresh_network().parameters()),
        examples=len(task.train),
        smallest_file=smallest_file(task),
        largest_output=_largest_output(task),
    )


def with_quantizer(recipe: Recipe, task: Task) -> Recipe:
    """A recipe with what it leaves open of the quantiser as it suits the network."""
    settings = recipe.quantization
    given = settings.model_fields_set
    if "method" not in given:
        chosen = quantizer_of("dead_zone" not in given and _calibrates(task), task.is_accuracy)
        settings = settings.model_copy(update={key: value for key, value in chosen.items() if key not in given})
    if "calibration" not in given and (settings.reestimate_batchnorm or needs_calibration(settings.method)):
        settings = settings.model_copy(update=calibration_for(_largest_output(task, settings)))
    return recipe.model_copy(update={"quantization": settings})


def _largest_output(task: Task, settings: QuantizationRecipe | None = None) -> int:
    """Numbers in what a layer gives for one example, at most; 1 where the network does not run, or need not."""
    largest = 1

    def look(_: nn.Module, __: object, output: object) -> None:
        nonlocal largest
        largest = max(largest, *(tensor.numel() for tensor in tensors_of(output)), 1)

    try:
        with isolated_rng(0), blamed("the network cannot be tried out"), torch.no_grad():
            glimpse = task.glimpse(RUN)
            network = dense_network(glimpse)
            if settings is not None and not needs_calibration(settings.method) and not batchnorm_layers(network):
                return 1
            inputs = training_inputs(glimpse, RUN, 0, torch.device("cpu"))
            handles = [module.register_forward_hook(look) for module in network.modules()]
            try:
                forward_in_use(network, inputs)
            finally:
                for handle in handles:
                    handle.remove()
            return max(1, largest // count_examples(inputs))
    except RdsearchError:
        return 1  # whatever is wrong comes to light when the recipe is carried out


def _calibrates(task: Task) -> bool:
    settings = QuantizationRecipe.model_validate({**quantizer_of(True, task.is_accuracy), "calibration": EXAMPLES})
    device = choose_device()
    try:
        with isolated_rng(0), blamed("the network cannot be tried out"):
            glimpse = task.glimpse(EXAMPLES)
            network = dense_network(glimpse).to(device)
            names = [entry.name for entry in layout_of(network).of("weight")]
            inputs = training_inputs(glimpse, EXAMPLES, 0, device)
            quantize(network, names, glimpse.fresh_network, settings, [inputs])
    except QuantizationError:
        return False
    except RdsearchError:
        return True  # whatever is wrong is not the quantiser, and comes to light when the recipe is carried out
    return True
