"""What of a task the defaults depend on."""

from __future__ import annotations

from rdsearch.base.blame import blamed
from rdsearch.base.device import choose_device
from rdsearch.base.randomness import isolated_rng
from rdsearch.compression.calibration import training_inputs
from rdsearch.compression.layout import layout_of
from rdsearch.compression.measure import dense_network
from rdsearch.compression.packing.quantize import quantize
from rdsearch.compression.target import smallest_file
from rdsearch.config.defaults import Kind, quantizer_of
from rdsearch.config.recipe import QuantizationRecipe, Recipe
from rdsearch.errors import QuantizationError, RdsearchError
from rdsearch.tasks.task import Task

EXAMPLES = 8
"""That the quantiser is tried on."""


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
    )


def with_quantizer(recipe: Recipe, task: Task) -> Recipe:
    """A recipe that leaves its quantiser open with the one that suits the network; any other as it is."""
    given = recipe.quantization.model_fields_set
    if "method" in given:
        return recipe
    chosen = quantizer_of("dead_zone" not in given and _calibrates(task), task.is_accuracy)
    added = {key: value for key, value in chosen.items() if key not in given}
    return recipe.model_copy(update={"quantization": recipe.quantization.model_copy(update=added)})


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
