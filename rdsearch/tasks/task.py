"""The task: a network, its data, and its score."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from numbers import Real
from pathlib import Path
from typing import Any, Literal, TypeGuard

import torch
from pydantic import ValidationError
from torch import nn
from torch.utils.data import Dataset

from rdsearch.base.device import choose_device
from rdsearch.base.randomness import checked_seed, isolated_rng
from rdsearch.base.schema import explain
from rdsearch.errors import ConfigError, TaskError
from rdsearch.tasks.calls import check_takes
from rdsearch.tasks.checks.classes import cross_entropy
from rdsearch.tasks.checks.fit import try_out
from rdsearch.tasks.checks.parts import parts
from rdsearch.tasks.divergence import divergence
from rdsearch.tasks.evaluation import Evaluation, accuracy_text, evaluate, top1
from rdsearch.tasks.preprocessing import preprocessing_of
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.splits import ArraySplit, LoaderSplit, Split, SplitLike, as_split, draw_subset
from rdsearch.tasks.splits.base import Device
from rdsearch.tasks.splits.some import some_of
from rdsearch.tasks.training.baseline import baseline_path, baseline_state
from rdsearch.tasks.training.stepper import Loss
from rdsearch.tasks.training.train import Progress
from rdsearch.tasks.weights.checkpoints import load_checkpoint
from rdsearch.tasks.weights.state import State, Stored, check_fit, load_state, state_fingerprint, to_numpy
from rdsearch.tasks.weights.template import Template, blank, copied, plain

Direction = Literal["maximize", "minimize"]

KL = "kl"
"""The score that compares outputs with those of the dense network."""


class Task:
    """What is compressed: a network, the data it was trained on, and the score that counts.

    Args:
        network: A trained network, whose weights are the dense ones; or a function without arguments that
            makes an untrained one. It is compressed, trained and scored in float32, and without wrappers such as
            ``DataParallel`` or ``torch.compile``.
        train: The training split: a torch Dataset or DataLoader, or a pair (inputs, targets) of arrays.
        validation: The validation split; or how much of ``train`` is cut for it, a count or a share of 1.
        test: The test split, or a function without arguments that reads it; nothing but
            `test_split` ever looks at it.
        evaluate: From a network (in eval mode) and its batches of (inputs, targets) to a number; top-1
            accuracy as a share of 1 when not given. ``"kl"`` needs no targets: the mean divergence of the outputs from
            those of the network with the dense weights, in nats, of which less is better; see
            `rdsearch.tasks.divergence`.
        name: What the task is called in reports.
        direction: Whether more of what ``evaluate`` returns is better (``"maximize"``) or less.
        loss: What training and retraining minimise: from output and targets to a scalar. Cross-entropy when not
            given, where the targets are classes of the network's outputs.
        checkpoint: File with the trained weights, when ``network`` is a function.
        training: How the network is trained when there are no trained weights: the settings of `TrainingConfig`, or a
            mapping of them (``{"epochs": 5}``); with 0 epochs the weights are those that ``network()`` comes with.
        seed: Of the validation part and of the training.
        network_id: Registered name (and options) of the network, where it has one.
        validation_subset: How much of the validation part the trials of a search are scored on, a count or a
            share of 1; all of it when not given. The front's files are scored on the whole part in the end.
        expected_accuracy: What a trained network reaches on unseen data, where that is known; one that is far
            from it is warned of.
        held_out: That the trained weights have never seen the part that is cut for validation. Where this is not
            said, and no split of its own is given, a trained network is warned of.

    Raises:
        TaskError: A part is missing, broken, or does not fit the others.
        ConfigError: A setting of ``training`` is wrong; every mistake is listed.
    """

    def __init__(
        self,
        *,
        network: nn.Module | Callable[[], nn.Module],
        train: SplitLike,
        validation: SplitLike | int | float | None = None,
        test: SplitLike | Callable[[], SplitLike] | None = None,
        evaluate: Evaluation | Literal["kl"] | None = None,
        name: str = "task",
        direction: Direction = "maximize",
        loss: Loss | None = None,
        checkpoint: Path | str | None = None,
        training: TrainingConfig | Mapping[str, Any] | None = None,
        seed: int = 0,
        network_id: str | None = None,
        validation_subset: int | float | None = None,
        expected_accuracy: float | None = None,
        held_out: bool = False,
    ) -> None:
        seed = checked_seed(seed)
        _check_types(name, checkpoint, expected_accuracy)
        if isinstance(evaluate, str):
            if evaluate != KL:
                raise TaskError(f"evaluate = {evaluate!r}: give a function, or {KL!r}")
            direction = "minimize"
        else:
            _check_function(evaluate, "evaluate", "the network and its batches")
        _check_function(loss, "loss", "output and targets")
        if direction not in {"maximize", "minimize"}:
            raise TaskError(f"direction = {direction!r}: allowed are 'maximize' and 'minimize'")
        trained = isinstance(network, nn.Module)
        if trained and checkpoint is not None:
            raise TaskError("both a trained network and a checkpoint are given: give a function that makes the network")
        if not callable(network):
            raise TaskError(f"network is a {type(network).__name__}: give an nn.Module, or a function that makes one")
        if not trained:
            check_takes(network, 0, "network is called without arguments")
        self.name = name
        self.direction: Direction = direction
        self.network_id = network_id
        self.seed = seed
        self.expected_accuracy = expected_accuracy
        self.training = _training_config(training)
        cut = validation is None or isinstance(validation, Real)
        self.comes_trained = trained or checkpoint is not None
        self.cuts_validation = cut
        self.may_have_seen_validation = cut and not held_out and self.comes_trained
        self._factory: Callable[[], nn.Module] = network
        self._dense: State | None = None
        if isinstance(network, nn.Module):
            with torch.inference_mode(False):
                own = copied(network)
                self._dense, self._factory = Stored(own.state_dict()), Template(own)
        self._given = self._dense is not None
        self._left_out: list[str] = []
        self._checkpoint = None if checkpoint is None else Path(checkpoint).expanduser().absolute()
        self._evaluation = evaluate or top1
        self._loss = loss
        self.train, self.validation, self._split_notes = parts(as_split(train, "train"), validation, seed)
        self._test = test if test is None or _is_function(test) else as_split(test, "test")
        self._sealed = False
        self._subset = None if validation_subset is None else draw_subset(self.validation, validation_subset, seed)

    @cached_property
    def loss(self) -> Loss | None:
        """What training and retraining minimise; ``None`` where there is nothing.

        That is so for a task with a score of its own, without a loss, whose targets are no classes: cross-entropy would
        train for something else.
        """
        return self._loss or (cross_entropy if self.is_accuracy or self._has_classes else None)

    @cached_property
    def _has_classes(self) -> bool:
        with isolated_rng(self.seed):
            network = self._make()
        if self._dense is not None:
            load_state(network, self._dense)
        return try_out(
            network.eval(), {"train": self.train, "validation": self.validation}, is_accuracy=self.is_accuracy
        )

    def check_fit(self) -> None:
        """Run the network on a few training examples, once, without training it.

        Raises:
            TaskError: It does not take them, they are not finite, or the targets do not fit the score.
        """
        _ = self._has_classes

    @property
    def notes(self) -> list[str]:
        """What is done otherwise than it looks, one sentence each; reads the checkpoint, where there is one."""
        if self._checkpoint is not None:
            self.dense_state()
        roles = {"train": self.train, "validation": self.validation}
        said = [
            f"{role}: the DataLoader's {', '.join(split.set_aside)} has no say: every example is read once in a pass, "
            "in the seed's order, by workers started for it"
            for role, split in roles.items()
            if isinstance(split, LoaderSplit) and split.set_aside
        ]
        if self.loss is None:
            said.append(
                "there is no loss, and the targets are no classes of the network's outputs: the network is not "
                "retrained; give loss= for that. Files that are trained for their size learn from the float network"
            )
        return [*said, *self._split_notes, *self._left_out]

    @property
    def is_accuracy(self) -> bool:
        """Whether the score is top-1 accuracy, whose standard error is known."""
        return self._evaluation is top1

    def fresh_network(self) -> nn.Module:
        """A new network on the CPU, in eval mode, all of its weights zero.

        They are zero so that a network filled from a file can hold nothing that the file does not.
        """
        network = blank(self._make())
        return network.eval()

    @torch.inference_mode(False)
    def _make(self) -> nn.Module:
        network = self._factory()
        if not isinstance(network, nn.Module):
            raise TaskError(f"network() returned a {type(network).__name__}: an nn.Module is needed")
        return plain(network)

    def initial_state(self) -> State:
        """The weights that training would start from, or the trained ones where the network came with them."""
        if self._dense is not None:
            return self._dense
        with isolated_rng(self.seed):
            return to_numpy(self._make().state_dict())

    @property
    def trains_dense(self) -> bool:
        """Whether the dense weights come from a training here, and not with the network or in a checkpoint."""
        return not self._given and self._checkpoint is None and self.training.epochs > 0

    @property
    def training_fingerprint(self) -> str:
        """SHA-256 of what the dense weights are trained on and how, hex; the same on every machine."""
        described = [
            self.training.model_dump_json(),
            str(self.seed),
            getattr(self._loss, "__qualname__", type(self._loss).__qualname__),
            self.train.fingerprint,
        ]
        return hashlib.sha256("\n".join(described).encode()).hexdigest()

    def use_dense(self, state: State) -> None:
        """Take dense weights that were trained before: another instruction set would train other bits.

        Raises:
            TaskError: They are those of another network.
        """
        check_fit(state, self._make())
        self._dense = state

    @property
    def is_trained(self) -> bool:
        """Whether `dense_state` has no training to do."""
        if self._dense is not None or self._checkpoint is not None or self.training.epochs == 0:
            return True
        initial, loss = self.initial_state(), self._training_loss()
        return baseline_path(self.name, initial, self.train, self.training, self.seed, loss).exists()

    def dense_state(self, progress: Progress | None = None, *, device: Device | None = None) -> State:
        """The trained weights: the network's own, the checkpoint's, or those of the baseline.

        The first call on a task without trained weights trains the baseline, which may take long; it is
        kept in the cache folder.

        Args:
            progress: Called after each epoch of training.
            device: Where to train; a GPU where there is one when not given.

        Returns:
            Every entry of the network's ``state_dict`` as a read-only array, float32 or integer.

        Raises:
            TaskError: The checkpoint cannot be read or is another network's; or the network is to be trained, and does
                not fit its data or has no loss.
        """
        if self._dense is None and self._checkpoint is not None:
            self._dense, self._left_out = load_checkpoint(self._checkpoint, self._make())
        if self._dense is None:
            if self.training.epochs > 0:
                self.check_fit()
            self._dense = baseline_state(
                self.name,
                self._make,
                self.train,
                self.training,
                seed=self.seed,
                device=device,
                progress=progress,
                loss=self._training_loss(),
            )
        return self._dense

    def _training_loss(self) -> Loss:
        if self.loss is None and self.training.epochs > 0:
            raise TaskError(
                "the network has no trained weights, and there is nothing to train it by: evaluate= is no loss, and "
                "the targets are no classes of its outputs; give loss=, or a checkpoint"
            )
        return self.loss or cross_entropy

    def score(self, network: nn.Module, *, device: Device = "cpu", split: Split | None = None) -> float:
        """Score of a network on the validation part, or on ``split``; the same every time, and more is better.

        Args:
            network: Moved to ``device``; its training mode is restored.
            device: Where to compute.
            split: Another part to score on.

        Returns:
            The score: a share of 1 for accuracies, and minus what ``evaluate`` returned where less of that is
            better, so that fronts, drops and bounds mean the same for every task.
        """
        evaluation = self._evaluation
        if isinstance(evaluation, str):
            reference = self.fresh_network()
            load_state(reference, self.dense_state())
            evaluation = partial(divergence, reference.to(device))
        value = evaluate(network, self.validation if split is None else split, evaluation, device=device)
        return value if self.direction == "maximize" else -value

    @cached_property
    def dense_score(self) -> float:
        """Validation score of the dense network, measured once, on a GPU where there is one; may train first."""
        network = self.fresh_network()
        load_state(network, self.dense_state())
        return self.score(network, device=choose_device())

    def score_text(self, score: float, *, part: str = "validation", examples: int | None = None) -> str:
        """A score in words, and how sure it is: ``"validation accuracy 0.9712 ± 0.0024 (standard error) on …"``.

        Args:
            score: What `score` returned.
            part: What it was measured on.
            examples: So many of them; the validation part's when not given.
        """
        kind = "accuracy" if self.is_accuracy else "score"
        turned = " (minus what evaluate returns, of which less is better)" if self.direction == "minimize" else ""
        count = len(self.validation) if examples is None else examples
        return f"{part} {kind}{turned} {accuracy_text(score, count, self.is_accuracy)}"

    @property
    def inputs(self) -> dict[str, Any]:
        """What is done to inputs before the network sees them, ready for YAML; see `preprocessing_of`."""
        return preprocessing_of(self.train)

    def glimpse(self, examples: int) -> Task:
        """A copy with so many examples of each part, evenly spread, that trains no dense network and has no test split.

        Its weights are the dense ones where there are some already, and those that training would start from otherwise.
        """
        copied = copy.copy(self)
        copied.train, copied.validation = (some_of(split, examples) for split in (self.train, self.validation))
        copied._dense = self.dense_state() if self.is_trained else self.initial_state()
        copied._test, copied._sealed, copied._subset = None, True, None
        for measured in ("dense_score", "fingerprint"):
            copied.__dict__.pop(measured, None)
        return copied

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of architecture, dense weights, training and validation part, and score, hex.

        Needs the dense weights, and so may train them.
        """
        described = [
            state_fingerprint(self.dense_state()),
            self.train.fingerprint,
            self.validation.fingerprint,
            self._evaluation
            if isinstance(self._evaluation, str)
            else getattr(self._evaluation, "__qualname__", type(self._evaluation).__qualname__),
            self.direction,
            *([] if self._subset is None else [self._subset.fingerprint]),
        ]
        return hashlib.sha256("\n".join(described).encode()).hexdigest()

    @property
    def has_subset(self) -> bool:
        """Whether trials are scored on a part of the validation part only."""
        return self._subset is not None

    def on_subset(self) -> Task:
        """A copy whose validation part is the subset that trials are scored on; the task itself without one."""
        if self._subset is None:
            return self
        copied = copy.copy(self)
        copied.validation, copied._subset = self._subset, None
        for measured in ("dense_score", "fingerprint"):
            copied.__dict__.pop(measured, None)
        return copied

    @property
    def has_test(self) -> bool:
        """Whether a test split can be read."""
        return self._test is not None

    def test_split(self) -> Split:
        """Read the test split.

        Raises:
            TaskError: The task has none, or it is a copy for a search, which must not see it.
        """
        if self._sealed:
            raise TaskError("a search never sees the test split: read it from the task itself, after the search")
        if self._test is None:
            raise TaskError(f"task {self.name!r} has no test split: give one as test=")
        return as_split(self._test() if _is_function(self._test) else self._test, "test")

    def for_search(self) -> Task:
        """A copy that travels to workers: with the dense weights, and without any way to the test split.

        Raises:
            TaskError: The network and its data do not fit; see `check_fit`.
        """
        self.check_fit()
        self.dense_state()
        return self.without_test()

    def without_test(self) -> Task:
        """A copy without any way to the test split; where its dense weights are still to be trained, they are not."""
        copied = copy.copy(self)
        copied._test = None
        copied._sealed = True
        return copied

    def release_data(self) -> None:
        """Let go of what lies on devices of the training and validation part; it goes there again when it is read."""
        for split in (self.train, self.validation):
            if isinstance(split, ArraySplit):
                split.release()

    def __repr__(self) -> str:
        return f"Task({self.name!r}, train={len(self.train)}, validation={len(self.validation)})"


def _check_types(name: object, checkpoint: object, expected_accuracy: object) -> None:
    for role, given, kinds in (
        ("name", name, (str,)),
        ("checkpoint", checkpoint, (str, Path, type(None))),
        ("expected_accuracy", expected_accuracy, (float, int, type(None))),
    ):
        if not isinstance(given, kinds):
            known = " or ".join(kind.__name__ for kind in kinds if kind is not type(None))
            raise TaskError(f"{role} is a {type(given).__name__}: give a {known}")
    if isinstance(expected_accuracy, float | int) and not 0 < expected_accuracy <= 1:
        raise TaskError(f"expected_accuracy = {expected_accuracy!r}: give a share of 1 (0.98 for 98 %)")


def _training_config(training: object) -> TrainingConfig:
    if training is None or isinstance(training, TrainingConfig):
        return training or TrainingConfig()
    if not isinstance(training, Mapping):
        raise TaskError(f"training is a {type(training).__name__}: give a mapping such as {{'epochs': 5, 'lr': 0.001}}")
    try:
        return TrainingConfig.model_validate(dict(training))
    except ValidationError as error:
        raise ConfigError("task", explain(error, TrainingConfig, "training")) from None


def _check_function(function: object, role: str, given: str) -> None:
    if function is None:
        return
    if not callable(function):
        raise TaskError(f"{role} is a {type(function).__name__}: give a function")
    check_takes(function, 2, f"{role} is called with {given}")


def _is_function(test: SplitLike | Callable[[], SplitLike] | None) -> TypeGuard[Callable[[], SplitLike]]:
    return callable(test) and not isinstance(test, Dataset)
