"""What is right and wrong with a task, for those who bring their own; `rdsearch validate` says the same."""

from __future__ import annotations

from collections.abc import Sequence

from rdsearch.base.network.computed import fold_computed
from rdsearch.compression.rehearsal import rehearse
from rdsearch.config.recipe import Recipe
from rdsearch.pruning.weights import prunable_weights
from rdsearch.tasks.checks.check import examine
from rdsearch.tasks.checks.plausibility import seen_before
from rdsearch.tasks.preprocessing import preprocessing_text
from rdsearch.tasks.task import Task

LAYERS_SHOWN = 6
"""Layers named before the rest is counted only."""


def check_task(task: Task, *, train: bool = True, recipe: Recipe | None = None) -> list[str]:
    """Try a task out: shapes, labels, evaluation, splits, weights, and one round on a few examples.

    Where the task can reach its test split, that is read to be compared with the others, and not scored.

    Args:
        task: What is to be checked.
        train: Train the baseline when the task has no trained weights; otherwise it is checked with the
            weights that it starts from, and its accuracy is not looked at.
        recipe: What the round does; the usual recipe when not given.

    Returns:
        One sentence for each problem, with the place in your code where one of its functions raised it; empty when all
        is well.
    """
    if not isinstance(task, Task):
        return [f"task is a {type(task).__name__}: give a rdsearch.Task"]
    problems = examine(task, train=train) or rehearse(task, [recipe or Recipe()])
    return problems or list(seen_before(task))


def prunable_layers(task: Task, skip: Sequence[str] = ()) -> dict[str, int]:
    """The weights that a search may prune, and how many there are in each: name in the state dict to count.

    Args:
        task: Its network is looked at, not its data.
        skip: Patterns of layers that the recipe leaves alone.

    Raises:
        PruningError: There are none, or a pattern matches none.
    """
    return {
        name: weight.numel() for name, weight in prunable_weights(fold_computed(task.fresh_network()), skip).items()
    }


def describe_task(task: Task, skip: Sequence[str] = ()) -> list[str]:
    """What a task is made of, in a few lines: examples, prunable weights, the dense network's score, its inputs, notes.

    Args:
        task: The task; where its weights are still to be trained they are left so.
        skip: Patterns of layers that the recipe leaves alone.

    Raises:
        PruningError: There is nothing to prune, or a pattern matches nothing.
        TaskError: The weights are another network's, or the network cannot be made or scored.
    """
    layers = prunable_layers(task, skip)
    total = sum(parameter.numel() for parameter in task.fresh_network().parameters())
    shown = ", ".join(f"{name} {count:,}" for name, count in list(layers.items())[:LAYERS_SHOWN])
    rest = f" and {len(layers) - LAYERS_SHOWN} more" if len(layers) > LAYERS_SHOWN else ""
    return [
        f"{len(task.train):,} training and {len(task.validation):,} validation examples, "
        f"{'a' if task.has_test else 'no'} test split",
        f"{sum(layers.values()):,} of {total:,} parameters can be pruned, in {len(layers)} layers: {shown}{rest}"
        if layers
        else f"none of {total:,} parameters can be pruned",
        f"dense network: {task.score_text(task.dense_score)}"
        if task.is_trained
        else "the dense network is not trained yet: a search does that first, and so does `rdsearch train`",
        *([f"inputs: {preprocessing_text(task.inputs)}"] if set(task.inputs) - {"shape"} else []),
        *task.notes,
    ]
