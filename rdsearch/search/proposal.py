"""A search file for a network and its data, from a look at both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from rdsearch.base.network.computed import fold_computed
from rdsearch.base.voice import phase
from rdsearch.compression.kind import kind_of
from rdsearch.compression.rehearsal import rehearse, samples_of
from rdsearch.config.defaults import ACCURACY_DROP, Kind, gpu_share, rounds_space, usual_space
from rdsearch.config.searchfile import SearchFile, check_search
from rdsearch.config.written import BUDGETS, BUDGETS_REMARK, Layer, groups_text, layer_groups, search_text
from rdsearch.errors import TaskError
from rdsearch.pruning.weights import prunable_weights
from rdsearch.search.outlook import Outlook, look_ahead
from rdsearch.search.task import task_of
from rdsearch.tasks.checks.check import FEW_EXAMPLES, examine
from rdsearch.tasks.checks.plausibility import seen_before
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.task import Task
from rdsearch.testing import describe_task

TRIALS = 40

LARGER_SHARE = 0.3
"""Cut for validation where the usual tenth is too few examples to tell files apart."""

STEPS = 1000
"""That a dense network is trained for at least, where nothing is known of it."""


@dataclass(frozen=True)
class Proposal:
    """A search file that was tried out.

    Attributes:
        text: Of the file.
        described: What the task is made of, a line each.
        doubts: What may be wrong with it, a sentence each.
        outlook: What the search would take here.
    """

    text: str
    described: list[str]
    doubts: list[str]
    outlook: Outlook


def propose(
    task_tree: Mapping[str, Any],
    *,
    name: str,
    max_drop: float | None = None,
    trials: int = TRIALS,
    rounds: bool = False,
    console: Console | None = None,
) -> Proposal:
    """Look at a task, try a round of it out, time it, and write a search file for it.

    The dense network is not trained, and nothing is written.

    Args:
        task_tree: The file's ``task:`` part.
        name: Of the file, for its comments.
        max_drop: Largest accuracy drop that is of use; 0.05 when not given, for accuracies.
        trials: Recipes to try.
        rounds: Prune in rounds, with a budget for each group of layers, where files could be trained.
        console: Where it is said what is being done.

    Raises:
        ConfigError: The task's part is wrong.
        TaskError: The task is not fine, or a round of it fails.
    """
    console = console or Console(quiet=True)
    with phase(console, "loading the network and its data"):
        task = task_of(check_search({"task": dict(task_tree)}, source="init", name=name))
        given, task_tree = task_tree, _with_enough_validation(task_tree, task)
        if task_tree != given:
            task = task_of(check_search({"task": dict(task_tree)}, source="init", name=name))
    with phase(console, "checking them"):
        _refuse(task, examine(task, train=False))
        kind, layers = kind_of(task), _layers(task)
        tree = _tree(task_tree, task, kind, layers, max_drop, trials, rounds)
        file = check_search(tree, source="init", name=name)
        if tree["task"] != task_tree:
            task = task_of(file)
    with phase(console, "trying a round out on a few examples"):
        _refuse(task, rehearse(task, samples_of(file.space)))
    with phase(console, "timing an epoch, a round and an evaluation"):
        outlook = look_ahead(file, task)
    return Proposal(
        text=_text(file, task, kind, layers, outlook),
        described=describe_task(task),
        doubts=list(seen_before(task)),
        outlook=outlook,
    )


def _with_enough_validation(task_tree: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """The task's part, with a larger share cut for validation where the usual one is too small and this is not."""
    told, examples = dict(task_tree), len(task.train) + len(task.validation)
    left_open = task.is_accuracy and task.cuts_validation and "validation" not in told
    if left_open and len(task.validation) < FEW_EXAMPLES <= LARGER_SHARE * examples:
        told["validation"] = LARGER_SHARE
    return told


def _refuse(task: Task, problems: list[str]) -> None:
    if problems:
        raise TaskError("\n  - ".join([f"the task {task.name} is not fine:", *problems]))


def _layers(task: Task) -> dict[str, Layer]:
    """The layers that can be pruned, by the names of their weights."""
    network = fold_computed(task.fresh_network())
    return {
        name: Layer(type(network.get_submodule(name.rpartition(".")[0])).__name__, tuple(weight.shape))
        for name, weight in prunable_weights(network).items()
    }


def _tree(
    task_tree: Mapping[str, Any],
    task: Task,
    kind: Kind,
    layers: Mapping[str, Layer],
    max_drop: float | None,
    trials: int,
    rounds: bool,
) -> dict[str, Any]:
    told = dict(task_tree)
    if not task.comes_trained and "train" not in told:
        told["train"] = _training(task)
    recipe = rounds_space(kind) if rounds else usual_space(kind)
    if recipe["retrain"]["epochs"] and (groups := layer_groups(layers)):
        recipe["pruning"]["budgets"] = {"per_group": groups, **BUDGETS}
    drop = ACCURACY_DROP if max_drop is None and kind.accuracy else max_drop
    constraints = {} if drop is None else {"accuracy_drop": drop}
    return {
        "task": told,
        "recipe": recipe,
        "search": {"constraints": constraints, "trials": trials},
        "resources": {"cpu": 1, "gpu": gpu_share(kind)},
    }


def _training(task: Task) -> dict[str, Any]:
    """How the dense network is trained; in more epochs than usual where the data is small."""
    config = task.training
    if config == TrainingConfig():
        steps = math.ceil(len(task.train) / config.batch_size)
        config = config.model_copy(update={"epochs": max(config.epochs, math.ceil(STEPS / steps))})
    return {key: getattr(config, key) for key in ("epochs", "lr", "batch_size", "optimizer", "weight_decay")}


def _text(file: SearchFile, task: Task, kind: Kind, layers: Mapping[str, Layer], outlook: Outlook) -> str:
    prunable = sum(layer.size for layer in layers.values())
    head = [
        f"{task.name}: {prunable:,} of {kind.parameters:,} parameters can be pruned.",
        f"rdsearch search {file.name}.yaml --dry-run says what it takes, rdsearch search {file.name}.yaml runs it.",
    ]
    gpu = f"of a GPU a trial, where there is one; {'there is' if outlook.slots.gpu else 'there is none'} here"
    remarks = {"search.trials": outlook.summary, "resources.gpu": gpu}
    if budgets := file.tree["recipe"]["pruning"].get("budgets"):
        remarks["recipe.pruning.budgets"] = "\n".join([BUDGETS_REMARK, *groups_text(budgets["per_group"], layers)])
    if task.may_have_seen_validation:
        remarks["task.dataset"] = "give it validation data that the network has not seen, or say held_out: true"
    if file.tree["task"].get("validation") == LARGER_SHARE:
        remarks["task.validation"] = "cut from the training split; a tenth would be too few to tell files apart"
    if not kind.accuracy:
        remarks["search.constraints"] = "such as {accuracy_drop: 0.1}, in units of the score"
    return search_text(file.tree, head, remarks)
