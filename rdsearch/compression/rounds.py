"""One trial, without Ray: rounds of prune, retrain, quantise, encode, decode, evaluate."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from rdsearch.base.device import checked_device
from rdsearch.base.randomness import checked_seed, isolated_rng
from rdsearch.compression.calibration import Calibration, calibration_inputs, calibration_of, training_inputs
from rdsearch.compression.checkpoint import Checkpoint
from rdsearch.compression.gradual import GradualPruning
from rdsearch.compression.kind import with_quantizer
from rdsearch.compression.measure import Baseline, dense_network, measure, measure_baseline, plain_network
from rdsearch.compression.packing.pack import LevelTrainer, pack
from rdsearch.compression.packing.to_size import pack_to_size
from rdsearch.compression.target import PACKED, TRAINED, require_reachable
from rdsearch.config.recipe import PruningRecipe, QuantizationRecipe, Recipe
from rdsearch.config.space import load_recipe
from rdsearch.errors import PruningError, TaskError
from rdsearch.points.point import OperatingPoint, Scalar
from rdsearch.pruning.prune import all_alive, most_survivors, prune, require_possible
from rdsearch.pruning.schedules import survivors_after
from rdsearch.pruning.weights import nothing_to_prune, prunable_weights
from rdsearch.quantization.findings import Findings
from rdsearch.retraining.rate.draft import Draft
from rdsearch.retraining.rate.training import FileTraining
from rdsearch.retraining.retrain import distillation_hooks, retrain
from rdsearch.retraining.teacher import nothing, teacher_of
from rdsearch.tasks.task import Task
from rdsearch.tasks.training.train import training_steps


def compress(
    task: Task,
    recipe: Recipe | Mapping[str, object],
    *,
    seed: int = 0,
    device: str | torch.device | None = None,
    baseline: Baseline | None = None,
    embed_recipe: bool = False,
) -> Iterator[OperatingPoint]:
    """Compress a task's network by one recipe.

    Args:
        task: The network and its data; the test split is not read.
        recipe: A `Recipe`, or a mapping of its settings. One that does not say how to quantise gets the method that
            suits the network; see `rdsearch.config.defaults`.
        seed: Of everything random in the trial. The same seed gives the same bytes on the same machine's CPU.
        device: Where to compute; the first GPU when there is one and nothing is given.
        baseline: The dense network's figures, when they are known already.
        embed_recipe: Store the recipe in every file; its bytes count.

    Yields:
        One operating point a round, its file in ``data``.

    Warns:
        UserWarning: Something about the task is done otherwise than it looks; see `Task.notes`.

    Raises:
        ConfigError: The mapping is no recipe; every mistake is listed.
        PruningError: The recipe asks for what this network cannot give.
        TaskError: There is no such device, the seed is none, or the training inputs cannot be cut into examples.
        TrialError: A round's score is not a number.
        QuantizationError: No file of the network can have the size that it is to be trained to.
    """
    if not isinstance(task, Task):
        raise TaskError(f"task is a {type(task).__name__}: give a rdsearch.Task")
    settings = with_quantizer(recipe if isinstance(recipe, Recipe) else load_recipe(recipe, "recipe"), task)
    for note in task.notes:
        warnings.warn(note, stacklevel=2)
    made = rounds(
        task, settings, seed=seed, device=device, baseline=baseline, embed_recipe=embed_recipe, checkpoints=False
    )
    for point, _ in made:
        yield point


@torch.inference_mode(False)  # gradients are needed whatever the caller's mode is
def rounds(
    task: Task,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str | torch.device | None = None,
    baseline: Baseline | None = None,
    after: Checkpoint | None = None,
    parameters: Mapping[str, Scalar] | None = None,
    embed_recipe: bool = False,
    drafts: Callable[[int], Draft] | None = None,
    checkpoints: bool = True,
    shared: Callable[[Calibration], Findings] | None = None,
) -> Iterator[tuple[OperatingPoint, Checkpoint | None]]:
    """`compress` with a checkpoint beside every operating point, and able to go on ``after`` one.

    Every round draws from its own seed, so that a trial that goes on from a checkpoint gives the same
    points as one that was never interrupted.

    Args:
        task: The network and its data.
        recipe: What to do.
        seed: Of everything random in the trial.
        device: Where to compute.
        baseline: The dense network's figures; measured when not given.
        after: Go on from here instead of from the dense network.
        parameters: What the points carry as their parameters; the recipe's own settings when not given.
        embed_recipe: Store the recipe in every file.
        drafts: From a round's number to what keeps the state of a long training within it.
        checkpoints: Without them, which take as much memory as the network, the last round may use it up.
        shared: From what the calibration inputs are to what is known of the task's dense network by them.
    """
    task = task.for_search()
    place, seed = checked_device(device), checked_seed(seed)
    baseline = baseline or measure_baseline(task, place)
    settings, training = recipe.quantization, recipe.quantization.training
    require_reachable(
        TRAINED, [training.target_bytes] if training.epochs and training.target_bytes else [], task, baseline
    )
    require_reachable(PACKED, [settings.target_bytes] if settings.target_bytes else [], task, baseline)
    network = dense_network(task, after.state if after else None).to(place)
    masks = _masks_on(place, after.masks) if after else None
    for number in range(after.round + 1 if after else 1, recipe.pruning.rounds + 1):
        started = time.perf_counter()
        keep = checkpoints or number < recipe.pruning.rounds
        masks = _prune_and_retrain(task, network, masks, recipe, number, seed, place)
        with isolated_rng(_seeds(seed, number)[3]):  # a network may draw at random wherever it is run
            inputs = calibration_inputs(task, network, recipe, seed, place)
            untrained = recipe.retrain.epochs == 0 or task.loss is None
            is_dense = number == 1 and not recipe.pruning.removes and untrained
            known = shared(calibration_of(network, recipe)) if shared is not None and is_dense else Findings()
            data = _packed(
                partial(
                    pack,
                    network,
                    partial(plain_network, task),
                    calibration=inputs,
                    network_id=task.network_id,
                    recipe=recipe.cut(number).as_dict() if embed_recipe else None,
                    train_levels=_level_trainer(task, recipe, number, seed, place, drafts(number) if drafts else None),
                    keep=keep or settings.target_bytes is not None,
                    findings=known,
                ),
                settings,
                _seeds(seed, number)[3],
            )
        if not keep:
            del network  # before there is another one to be scored
        point = measure(task, data, baseline, place)
        point = replace(
            point,
            round=number,
            seconds=time.perf_counter() - started,
            parameters=dict(parameters) if parameters is not None else recipe.flat(),
        )
        yield point, Checkpoint.of(network, masks, number) if checkpoints else None


def _prune_and_retrain(
    task: Task,
    network: nn.Module,
    masks: Mapping[str, Tensor] | None,
    recipe: Recipe,
    number: int,
    seed: int,
    device: torch.device,
) -> dict[str, Tensor]:
    """Change ``network`` in place; return the new masks."""
    pruning, settings = recipe.pruning, recipe.retrain
    weights = prunable_weights(network, pruning.skip)
    if pruning.removes and not weights:
        raise PruningError(nothing_to_prune(network, pruning.skip))
    pruning_seed, training_seed, *_ = _seeds(seed, number)
    total = sum(weight.numel() for weight in weights.values())
    survivors = _survivors(pruning, total, number) if pruning.removes else total
    options = {"budgets": pruning.budgets, "profile": pruning.profile.model_dump()}
    masks = {name: masks[name] for name in weights} if masks is not None else None

    def choose(masks: Mapping[str, Tensor] | None, survivors: int, remaining: int = 0) -> dict[str, Tensor]:
        return prune(
            weights,
            masks,
            survivors,
            method=pruning.method,
            **options,
            seed=pruning_seed + remaining,
            options=pruning.options,
            network=network,
            inputs=lambda: training_inputs(task, pruning.calibration, seed, device),
        )

    if not pruning.removes or pruning.gradual == 0 or settings.epochs == 0 or task.loss is None:
        masks = choose(masks, survivors) if pruning.removes else all_alive(weights)
        retrain(network, task, settings, masks, seed=training_seed, device=device)
        return masks
    require_possible(weights, masks, survivors, **options)
    steps = round(pruning.gradual * training_steps(len(task.train), settings)[1])
    counts = most_survivors(weights, masks, **options), survivors
    gradual = GradualPruning(weights, masks, counts, choose, max(1, steps))
    retrain(network, task, settings, masks or all_alive(weights), seed=training_seed, device=device, first=[gradual])
    return dict(gradual.masks or {})


def _packed(pack_with: Callable[..., bytes], settings: QuantizationRecipe, seed: int) -> bytes:
    """The file: at the step of the settings, or at that which gives it its size."""
    if settings.target_bytes is None:
        return pack_with(settings=settings)

    def at(step: float) -> bytes:
        with isolated_rng(seed):
            return pack_with(settings=settings.model_copy(update={"step": step}))

    return pack_to_size(at, settings.step, settings.target_bytes)


def _survivors(pruning: PruningRecipe, total: int, number: int) -> int:
    return survivors_after(
        total,
        number,
        schedule=pruning.schedule,
        rounds=pruning.rounds,
        rate=pruning.rate,
        final_sparsity=pruning.final_sparsity,
    )


def _level_trainer(
    task: Task, recipe: Recipe, number: int, seed: int, device: torch.device, draft: Draft | None
) -> LevelTrainer | None:
    settings = recipe.quantization
    if settings.training.epochs == 0:
        return None
    hooks, loss = distillation_hooks(task, recipe.retrain.distillation, device), task.loss
    if loss is None:
        hooks, loss = [teacher_of(task, device)], nothing
    return FileTraining(
        task=task,
        fresh_network=partial(plain_network, task),
        settings=settings.training,
        bits=settings.bias_bits,
        seed=_seeds(seed, number)[2],
        device=device,
        hooks=hooks,
        loss=loss,
        draft=draft,
    )


def _seeds(seed: int, number: int) -> tuple[int, int, int, int]:
    """Of pruning, of retraining, of training the levels, and of what else a network draws."""
    pruning, training, levels, others = np.random.SeedSequence((seed, number)).generate_state(4)
    return int(pruning), int(training), int(levels), int(others)


def _masks_on(device: torch.device, masks: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.array(mask)).to(device) for name, mask in masks.items()}
