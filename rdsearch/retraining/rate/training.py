"""The training of a file: straight through the levels, a bit's price steered to the file's size."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from rdsearch.base.device import computes_bfloat16
from rdsearch.base.network.inputs import forward, some_examples
from rdsearch.base.randomness import isolated_rng
from rdsearch.errors import TaskError
from rdsearch.quantization.uniform import Quantized
from rdsearch.retraining.augmentation import Augmented
from rdsearch.retraining.rate.draft import Draft
from rdsearch.retraining.rate.state import FileLevels, Size, Trained
from rdsearch.retraining.rate.steering import EVERY, Steering, annealed, target_of
from rdsearch.retraining.settings import LevelTraining
from rdsearch.tasks.splits import Batch, Split
from rdsearch.tasks.task import Task
from rdsearch.tasks.training.hooks import StepHook
from rdsearch.tasks.training.stepper import Loss
from rdsearch.tasks.training.train import batches, training_steps

MEASURED = 60
"""Files that are really packed on the way."""
WARM_UP = 100
"""Steps in which the learning rate rises, at most a tenth of all."""
CUT_FROM, CUT_UNTIL = 0.05, 0.9
"""Shares of the training between which channels that died are cut out."""
LAST_FROM = 0.85
"""Share of the training after which files are packed as in the end, without what nothing reads: that is one or two per
cent, and takes several forward passes to see."""
HELD_FROM = 0.3
"""Share of the training after which batch normalisation is the map that the file has."""
_EXAMPLES = 2
"""On which it is seen whether a cut leaves the outputs as they are."""

Watch = Callable[[int, int, float], None]
"""Told the step, the bytes of the file and the mean loss whenever a file is packed."""


@dataclass(frozen=True)
class FileTraining:
    """How a file is trained, whatever is in it.

    Attributes:
        task: Its training part.
        fresh_network: Makes networks of its architecture.
        settings: Passes, size, learning rate.
        bits: Of biases and of batch normalisation's scale and shift.
        seed: Of order, augmentation and dropout.
        device: Where to compute.
        loss: What is minimised.
        hooks: What else has a share in it.
        draft: Keeps a long training's state, and gives back an interrupted one's.
        watch: Told how it goes.
    """

    task: Task
    fresh_network: Callable[[], nn.Module]
    settings: LevelTraining
    bits: int
    seed: int
    device: torch.device
    loss: Loss
    hooks: Sequence[StepHook] = ()
    draft: Draft | None = None
    watch: Watch | None = None

    def __call__(
        self, network: nn.Module, source: nn.Module, levels: Mapping[str, Quantized], size: Size
    ) -> FileLevels:
        """Train what a file will hold.

        Args:
            network: What decodes from ``levels``, on the device; it becomes what decodes from the new ones.
            source: The float network that they were chosen for; not changed.
            levels: Of each weight, where the training begins.
            size: Packs a file.

        Raises:
            TaskError: The loss is no finite number.
        """
        fixed = size(network, FileLevels.zeros(network, levels))
        target = target_of(self.settings, fixed, lambda: size(network, FileLevels(levels, {})))
        split: Split = self.task.train
        if self.settings.augmentation:
            split = Augmented(split, self.settings.augmentation)
        steps = training_steps(len(split), self.settings.schedule())[1]
        weight = self.settings.rate_weight or 0.0
        steering = Steering(target, weight, fixed, steps, self.settings.lr, self.device)
        with isolated_rng(self.seed):
            first = next(iter(split.batches(_EXAMPLES, device=self.device)))[0]
            trained = Trained(
                self.fresh_network().to(self.device),
                network,
                source,
                levels,
                bits=self.bits,
                lr=self.settings.lr,
                size=size,
                inputs=some_examples(first, slice(_EXAMPLES)),
            )
            _Run(self, trained, steering, split, steps).run()
        return trained.settle(target)


class _Run:
    """One training, step by step."""

    def __init__(self, how: FileTraining, trained: Trained, steering: Steering, split: Split, steps: int) -> None:
        self._how = how
        self._trained = trained
        self._steering = steering
        self._split = split
        self._steps = steps
        self._measure = max(1, steps // MEASURED)
        self._loss = how.loss
        self._generator = np.random.default_rng(how.seed)
        self._total = torch.zeros((), device=how.device)
        self._counted = 0

    def run(self) -> None:
        """All steps, or those that an interrupted training has left."""
        how, draft = self._how, self._how.draft
        state = draft.load(how.device) if draft is not None else None
        step = self._resumed(state) if state is not None else 0
        saved = time.perf_counter()
        self._trained.network.train()
        while step < self._steps:
            start = dict(self._generator.bit_generator.state if state is None else state["epoch"])
            self._generator.bit_generator.state = start
            passing = batches(self._split, how.settings.schedule(), self._generator, how.device)
            done = 0
            if state is not None:
                done = self._skip(passing, state)
                state = None
            for batch in passing:
                self._step(batch, step)
                step, done = step + 1, done + 1
                if step % self._measure == 0 or step == self._steps:
                    self._look(step)
                    if draft is not None and step < self._steps and draft.due(saved):
                        draft.save(self._kept(step, start, done))
                        saved = time.perf_counter()
                if step == self._steps:
                    break

    def _step(self, batch: Batch, step: int) -> None:
        inputs, targets = batch
        trained, steering, how = self._trained, self._steering, self._how
        trained.before_forward()
        with precision(how.device):
            output = forward(trained.network, inputs)
            value = self._loss(output, targets)
            for hook in how.hooks:
                value = hook.objective(inputs, output, targets, value)
        value.backward()  # type: ignore[no-untyped-call]
        if step == 0:
            steering.measured(trained.measure(), float(trained.coded.bits()))
        factor = annealed(step / self._steps)
        factor *= min(1.0, (step + 1) / max(1.0, min(WARM_UP, self._steps / 10)))
        if step % EVERY == 0:
            steering.look(trained.coded.mean_gradient())
            steering.correct(trained.coded.bits(), step)
        trained.update(steering.price, factor)
        self._total += value.detach()
        self._counted += 1

    def _look(self, step: int) -> None:
        """Pack a file, cut out what died, and go over to the file's normalisation when it is time."""
        loss, share = float(self._total) / self._counted, step / self._steps
        if not math.isfinite(loss):
            raise TaskError(
                f"the training loss is {loss} after {step} steps of training for the file with lr = "
                f"{self._how.settings.lr}: lower quantization.training.lr, and look for values that are not finite in "
                "the data"
            )
        self._total.zero_()
        self._counted = 0
        if share >= HELD_FROM:
            self._trained.hold_norms()
        size = self._trained.measure(last=share >= LAST_FROM)
        self._steering.measured(size, float(self._trained.coded.bits()))
        # Below its goal a network needs what is dead now: it has to grow.
        if CUT_FROM <= share <= CUT_UNTIL and self._steering.shrinks(size, step):
            self._trained.cut()
        if self._how.watch is not None:
            self._how.watch(step, size, loss)

    def _kept(self, step: int, epoch: dict[str, Any], done: int) -> dict[str, Any]:
        return {
            "step": step,
            "epoch": epoch,
            "done": done,
            "order": self._generator.bit_generator.state,
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self._how.device) if self._how.device.type == "cuda" else None,
            "trained": self._trained.state(),
            "steering": self._steering.state(),
        }

    def _resumed(self, state: dict[str, Any]) -> int:
        self._trained.load(state["trained"])
        self._steering.load(state["steering"])
        step: int = state["step"]
        return step

    def _skip(self, passing: Iterator[Batch], state: dict[str, Any]) -> int:
        """Go to where an interrupted pass was; everything random stands as it did there."""
        done: int = state["done"]
        for _ in range(done):
            next(passing)
        self._generator.bit_generator.state = state["order"]
        torch.set_rng_state(state["torch"].cpu())
        if self._how.device.type == "cuda" and isinstance(state["cuda"], torch.Tensor):
            torch.cuda.set_rng_state(state["cuda"].cpu(), self._how.device)
        return done


def precision(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """In which forward passes are computed: bfloat16 where a GPU or a processor has it."""
    if computes_bfloat16(device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()
