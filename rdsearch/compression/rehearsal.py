"""One round on two batches: whatever would end a trial early is met in seconds, before anything is written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import torch

from rdsearch.base.blame import blamed
from rdsearch.base.device import choose_device
from rdsearch.base.patterns import require_matches
from rdsearch.compression.layout import layout_of
from rdsearch.compression.measure import unscored_baseline
from rdsearch.compression.rounds import rounds
from rdsearch.config.recipe import Recipe
from rdsearch.config.space import Choice, RecipeSpace
from rdsearch.errors import PruningError, RdsearchError
from rdsearch.pruning.weights import prunable_weights
from rdsearch.tasks.task import Task

BATCHES = 2
ENOUGH_SECONDS = 20.0
"""After so long no further recipe of a space is tried out; the first one always is."""


def rehearse(task: Task, recipes: Sequence[Recipe], *, device: torch.device | None = None) -> list[str]:
    """Try recipes out on a task: prune, train, pack, decode and score, on a few examples.

    The test split is not read, the dense network not trained, and nothing is written.

    Args:
        task: What a search would compress.
        recipes: Those of `samples_of`, or one.
        device: Where to compute; the first GPU where there is one.

    Returns:
        One sentence for each different mistake, with the place in the user's code where there is one.
    """
    started, found = time.monotonic(), dict.fromkeys(pattern_mistakes(task, recipes[0])) if recipes else {}
    if found:
        return list(found)
    for recipe in recipes:
        try:
            _try_out(task, recipe, device or choose_device())
        except RdsearchError as error:
            found[str(error)] = None
        if time.monotonic() - started > ENOUGH_SECONDS:
            break
    return list(found)


def _try_out(task: Task, recipe: Recipe, device: torch.device) -> None:
    short = shortened(recipe)
    with blamed("the task cannot be tried out"):
        glimpse = task.glimpse(BATCHES * short.retrain.batch_size)
    baseline = unscored_baseline(task)
    try:
        with blamed("one round on a few examples fails"):
            next(rounds(glimpse, short, device=device, baseline=baseline))
    except RdsearchError:
        # A score may need all classes, or more examples than there are here: then it is fine on the whole part.
        if len(glimpse.validation) == len(task.validation):
            raise
        glimpse.validation = task.validation
        with blamed("one round on a few examples fails"):
            next(rounds(glimpse, short, device=device, baseline=baseline))


def shortened(recipe: Recipe) -> Recipe:
    """The recipe's first round, with an epoch at most of each kind of training, and as little calibration."""
    first = recipe.cut(1)
    few = BATCHES * first.retrain.batch_size
    retrain, quantization = first.retrain, first.quantization
    levels = quantization.training.model_copy(update={"epochs": min(1.0, quantization.training.epochs)})
    return first.model_copy(
        update={
            "pruning": first.pruning.model_copy(update={"calibration": min(few, first.pruning.calibration)}),
            "retrain": retrain.model_copy(update={"epochs": min(1.0, retrain.epochs)}),
            "quantization": quantization.model_copy(
                update={"calibration": min(few, quantization.calibration), "training": levels}
            ),
        }
    )


def samples_of(space: RecipeSpace) -> list[Recipe]:
    """Recipes of a space in which every choice occurs, other numbers than epochs in the middle of their ranges."""
    domains = space.parameters
    count = max((len(domain.values) for domain in domains.values() if isinstance(domain, Choice)), default=1)
    return [
        space.recipe(
            {
                name: domain.values[index % len(domain.values)]
                if isinstance(domain, Choice)
                else domain.at(1.0 if name.endswith("epochs") else 0.5)
                for name, domain in domains.items()
            }
        )
        for index in range(count)
    ]


def pattern_mistakes(task: Task, recipe: Recipe) -> Iterator[str]:
    """Patterns of a recipe that match none of a network's layers, all of them where a trial stops at the first."""
    pruning, quantization = recipe.pruning, recipe.quantization
    network = task.fresh_network()
    coded = [entry.name for entry in layout_of(network).of("weight")]
    with_names: list[tuple[str, Sequence[str], Sequence[str]]] = [
        ("recipe.quantization.plain", quantization.plain, coded),
        ("recipe.quantization.step_multipliers", list(quantization.step_multipliers), coded),
    ]
    try:
        prunable = list(prunable_weights(network))
        with_names += [
            ("recipe.pruning.skip", pruning.skip, prunable),
            ("recipe.pruning.budgets", list(pruning.budgets), prunable),
        ]
    except PruningError:
        pass  # a network without a prunable layer: the round itself says what becomes of it
    for setting, patterns, names in with_names:
        for pattern in patterns:
            try:
                require_matches([pattern], names, setting)
            except PruningError as error:
                yield str(error)
