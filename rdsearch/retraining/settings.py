"""The settings of retraining: ``recipe.retrain`` and ``recipe.quantization.training``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, model_validator

from rdsearch.base.schema import Settings
from rdsearch.tasks.settings import TrainingConfig


class DistillationSettings(Settings):
    """The dense network's outputs as targets beside the labels."""

    weight: float = Field(0.0, ge=0, le=1)
    """Share of the dense network's outputs in the loss; 0 trains on the labels alone."""
    temperature: float = Field(4.0, gt=0, le=100)
    """What both networks' logits are divided by."""


class RetrainRecipe(TrainingConfig):
    """How the survivors are trained again in every round, the pruned weights held at zero."""

    removed: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("penalty", "gates"),
        "penalties and gates are gone: leave this out, and use quantization.training, which makes smaller files",
    )

    epochs: float = Field(1, ge=0, le=10_000, description="passes a round; 0 leaves the weights as they are")
    rewind: bool = False
    """Start every round's retraining from the dense weights and not from those of the round before."""
    patience: int | None = Field(None, ge=1, le=10_000)
    """Epochs without a better validation score after which a round ends, its best epoch kept; null keeps the last."""
    distillation: DistillationSettings = DistillationSettings()
    """Learning from the dense network."""
    augmentation: float = Field(0.0, ge=0, le=1)
    """Share of the batches whose images are shifted, turned, scaled and sheared a little."""


class LevelTraining(Settings):
    """Training for the file: its levels and steps under the loss and the rate, the float network left as it is."""

    epochs: float = Field(0, ge=0, le=10_000)
    """Passes a round, also parts of one; 0 codes the levels as they were chosen."""
    target_bytes: int | None = Field(None, ge=1)
    """Size that the file is steered to, and never above it; null keeps the size that it has before the training."""
    rate_weight: float | None = Field(None, ge=0, le=1e6)
    """A fixed price of a bit instead of a size, in mean magnitudes of the loss's gradient by a level."""
    lr: float = Field(0.01, gt=0, le=10)
    """Learning rate of the levels at the start, in steps; it falls to 0 by half a cosine."""
    batch_size: int = Field(64, ge=1, le=65_536)
    """Examples in a step."""
    augmentation: float = Field(0.0, ge=0, le=1)
    """Share of the batches whose images are shifted, turned, scaled and sheared a little."""

    @model_validator(mode="after")
    def _one_way_to_a_size(self) -> LevelTraining:
        if self.target_bytes is not None and self.rate_weight is not None:
            raise ValueError(
                f"rate_weight: {self.rate_weight:g} is of no effect beside target_bytes: {self.target_bytes}, which "
                "steers it; leave one of them out"
            )
        return self

    def schedule(self) -> TrainingConfig:
        """Passes and batches, as the training loop takes them."""
        return TrainingConfig(epochs=self.epochs, lr=self.lr, batch_size=self.batch_size)
