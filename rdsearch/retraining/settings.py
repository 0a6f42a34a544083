"""The settings of retraining: ``recipe.retrain`` and ``recipe.quantization.training``."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from rdsearch.base.schema import Settings, known
from rdsearch.retraining import GATES, PENALTIES
from rdsearch.tasks.settings import TrainingConfig


class PenaltySettings(Settings):
    """A pull towards zero on every survivor, after every step."""

    method: Annotated[str, AfterValidator(known(PENALTIES))] | None = None
    """How the pull depends on a weight's magnitude; null for none."""
    weight: float = Field(1.0, ge=0, le=1000)
    """The pull of a step on a weight near zero, in root mean squares of its layer's survivors times learning rate."""


class GateSettings(Settings):
    """A gate on every survivor, trained with it; those that close leave exact zeros, which go first when pruning."""

    method: Annotated[str, AfterValidator(known(GATES))] | None = None
    """The kind of gate; null for none."""
    weight: float = Field(1.0, ge=0, le=1000)
    """Price of an open gate against the training loss summed over all examples, both in nats."""
    lr: float = Field(0.05, gt=0, le=10)
    """Learning rate of the gates at the start; it follows the schedule of the weights'."""


class DistillationSettings(Settings):
    """The dense network's outputs as targets beside the labels."""

    weight: float = Field(0.0, ge=0, le=1)
    """Share of the dense network's outputs in the loss; 0 trains on the labels alone."""
    temperature: float = Field(4.0, gt=0, le=100)
    """What both networks' logits are divided by."""


class RetrainRecipe(TrainingConfig):
    """How the survivors are trained again in every round, the pruned weights held at zero."""

    epochs: float = Field(1, ge=0, le=10_000, description="passes a round; 0 leaves the weights as they are")
    rewind: bool = False
    """Start every round's retraining from the dense weights and not from those of the round before."""
    patience: int | None = Field(None, ge=1, le=10_000)
    """Epochs without a better validation score after which a round ends, its best epoch kept; null keeps the last."""
    penalty: PenaltySettings = PenaltySettings()
    """A pull of the survivors towards zero."""
    gates: GateSettings = GateSettings()
    """Gates that close on the survivors that are worth least."""
    distillation: DistillationSettings = DistillationSettings()
    """Learning from the dense network."""


class LevelTraining(TrainingConfig):
    """How the levels of a round's file are trained, the float network left as it is."""

    epochs: float = Field(0, ge=0, le=10_000, description="passes a round; 0 codes the levels as they were chosen")
    lr: float = Field(5e-4, gt=0, le=10, description="learning rate at the start")
