"""A recipe: everything that a trial does to a network, in values that a file can hold."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from rdsearch.base.schema import Known, Settings, flatten
from rdsearch.coding.progressive import MAX_REFINEMENTS
from rdsearch.points.point import Scalar
from rdsearch.pruning import METHODS, SCHEDULES
from rdsearch.pruning.schedules import prefix_consistent
from rdsearch.quantization import METHODS as QUANTIZERS
from rdsearch.retraining.settings import LevelTraining, RetrainRecipe

Rate = Annotated[float, Field(ge=0, lt=1)]
Multiplier = Annotated[float, Field(ge=0)]
StepMultiplier = Annotated[float, Field(gt=0, le=100)]


_NOTHING: dict[str, dict[str, float]] = {"pruning": {"rate": 0}, "retrain": {"epochs": 0}}
"""What leaves a part of a recipe out; ``null`` in its place means the same."""


def _is_none(value: object) -> bool:
    return value is None or value is False or value == "none"


class ProfileRecipe(Settings):
    """Budgets for every layer out of a few numbers, so that a search moves through few dimensions."""

    depth: float = Field(0.0, ge=-4, le=4)
    """Log-multiplier that rises evenly from minus this at the first layer to this at the last."""
    size: float = Field(0.0, ge=-4, le=4)
    """The same from the smallest to the largest layer, by the logarithm of the weights."""
    fan_in: float = Field(0.0, ge=-4, le=4)
    """The same from the layer with the fewest inputs to an output to the one with the most, by the logarithm."""
    first: float = Field(1.0, ge=0, le=1000)
    """Further multiplier of the first layer; 0 empties it."""
    last: float = Field(1.0, ge=0, le=1000)
    """Further multiplier of the last layer; 0 empties it."""


class SurpRecipe(Settings):
    """How the method ``surp`` refines; other methods do not look at it."""

    update: Literal["authors", "paper"] = "authors"
    """How the threshold falls: as in the authors' code, or as in the paper's Algorithm 2."""
    alpha: float | None = Field(None, gt=0, le=1e6)
    """First threshold over the mean magnitude, for ``authors``; 10 when not given."""
    beta: float | None = Field(None, gt=0)
    """For ``paper``: indices beyond the threshold, about; the logarithm of the living weights when not given."""
    refreshes: int = Field(20, ge=1, le=1_000_000)
    """Of so many refreshes of an empty set, one lowers the factor of the residual's mean."""
    shrink: float = Field(0.9, gt=0, lt=1)
    """By this factor."""

    @model_validator(mode="after")
    def _options_belong_to_the_update(self) -> SurpRecipe:
        for option, update in (("alpha", "authors"), ("beta", "paper")):
            if getattr(self, option) is not None and self.update != update:
                raise ValueError(f"{option}: belongs to update {update!r}, not to {self.update!r}; leave it out")
        return self


class PruningRecipe(Settings):
    """Which weights survive each round."""

    method: Annotated[str, Known(METHODS)] = "global"
    """How a round's survivors are shared out between the layers."""
    schedule: Annotated[str, Known(SCHEDULES)] = "constant"
    """How the sparsity grows over the rounds."""
    rounds: int = Field(8, ge=1, le=1000)
    """Rounds of pruning; every round is an operating point."""
    rate: Rate | list[Rate] = 0.2
    """Share of the survivors removed in a round (schedule ``constant``); a list gives one rate a round. 0 prunes
    nothing: a trial quantises and codes, in one round where ``rounds`` is not given. ``pruning: null`` says the same,
    and ``retrain: null`` is ``retrain: {epochs: 0}``."""
    final_sparsity: float | None = Field(None, gt=0, lt=1)
    """Sparsity after the last round (schedules other than ``constant``)."""
    gradual: float = Field(0.0, ge=0, le=1)
    """Share of a round's retraining in which its weights go, little by little; 0 removes them all before it."""
    budgets: dict[str, Multiplier] = {}
    """Layer pattern (``conv*``) to a multiplier of that layer's share of the survivors."""
    profile: ProfileRecipe = ProfileRecipe()
    """Multipliers by a layer's depth, size and fan-in, on top of ``budgets``."""
    surp: SurpRecipe = SurpRecipe()
    """Options of the method ``surp``."""
    calibration: int = Field(64, ge=1, le=1_000_000)
    """Training examples that the method ``rd_prune`` looks at."""
    skip: list[str] = []
    """Patterns of layers that are never pruned; they are still quantised and coded."""

    @property
    def removes(self) -> bool:
        """Whether any weight goes in any round."""
        rates = self.rate if isinstance(self.rate, list) else [self.rate]
        return self.schedule != "constant" or any(rate > 0 for rate in rates)

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of the method beyond the weights."""
        return self.surp.model_dump() if self.method == "surp" else {}

    @model_validator(mode="before")
    @classmethod
    def _nothing_takes_one_round(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        if "method" in given and _is_none(given["method"]):
            others = sorted(key for key in ("rate", "schedule", "final_sparsity") if given.get(key))
            if others:
                raise ValueError(
                    f"method: none prunes nothing, and {others[0]} says how much goes; leave out one of them"
                )
            given = {key: value for key, value in given.items() if key != "method"} | {"rate": 0}
        if given.get("rate") == 0 and "rounds" not in given and given.get("schedule", "constant") == "constant":
            return given | {"rounds": 1}
        return given

    @model_validator(mode="after")
    def _schedule_has_its_numbers(self) -> PruningRecipe:
        if self.schedule == "constant":
            if isinstance(self.rate, list) and len(self.rate) != self.rounds:
                raise ValueError(
                    f"rate: a list of {len(self.rate)} rates for {self.rounds} rounds; give one rate a round"
                )
        elif self.final_sparsity is None:
            raise ValueError(f"final_sparsity: is required by schedule {self.schedule!r}, e.g. 0.95")
        return self


class QuantizationRecipe(Settings):
    """Which values the survivors take in the file."""

    method: Annotated[str, Known(QUANTIZERS)] = "uniform"
    """How the levels are chosen."""
    step: float = Field(0.2, gt=0, le=10)
    """Distance between levels, in units of the surviving weights' root mean square."""
    target_bytes: int | None = Field(None, ge=1)
    """Size of each round's file, and never above it: ``step`` is where the search for the step begins that gives it."""
    granularity: Literal["network", "tensor", "sensitivity"] = "network"
    """Whether the root mean square, and so the step, is the whole network's or each tensor's own; or the whole
    network's, from where steps are shared out by what the outputs lose, at about the same rate."""
    dead_zone: float = Field(1.0, ge=1, le=4)
    """Width of the interval that becomes zero, in steps (method ``uniform``); 1 is rounding to nearest."""
    rate_weight: float = Field(0.04, ge=0, le=10)
    """Price of a bit against distortion, in squared steps (methods other than ``uniform``); 0 is the nearest level."""
    damping: float = Field(0.01, gt=0, le=10)
    """What ``hessian`` and ``sequential`` add to the second moment of each input, in units of the mean one: how little
    they trust that errors make up for each other."""
    step_multipliers: dict[str, StepMultiplier] = {}
    """Layer pattern (``conv*``) to a multiplier of that layer's step; the first pattern that matches counts."""
    plain: list[str] = []
    """Patterns of weights that are rounded to nearest whatever the method, at ``plain_step``."""
    plain_step: float = Field(0.1, gt=0, le=10)
    """Distance between levels of each weight that ``plain`` names, in units of its own survivors' root mean square."""
    bias_bits: int = Field(8, ge=2, le=16)
    """Bits of a level of biases and of batch normalisation's scale and shift."""
    reestimate_batchnorm: bool = True
    """Match every batch normalisation's channel statistics to the float network's before coding."""
    fold_batchnorm: bool = False
    """Fold each batch normalisation into the convolution or linear layer before it, where that is exact; the file then
    holds no scale for it. Needs ``reestimate_batchnorm: false``, which would give every channel a scale again."""
    calibration: int = Field(1024, ge=2)
    """Training examples that the re-estimation and the methods ``hessian`` and ``sequential`` look at. A search that
    leaves this open takes fewer where the outputs of a layer are large."""
    quality_layers: int = Field(1, ge=1, le=MAX_REFINEMENTS)
    """Quality layers of the file: it can be cut after each to a smaller file of a coarser network. 1 makes the smallest
    file; coarsely quantised networks have fewer layers than asked for."""
    training: LevelTraining = LevelTraining()
    """Quantisation-aware training of the levels before they are coded, in every round's file."""

    @model_validator(mode="after")
    def _folded_scales_stay_folded(self) -> QuantizationRecipe:
        if self.fold_batchnorm and self.reestimate_batchnorm:
            raise ValueError(
                "fold_batchnorm: needs reestimate_batchnorm: false, which would give every channel a scale again"
            )
        return self

    @model_validator(mode="after")
    def _one_way_to_a_size(self) -> QuantizationRecipe:
        if self.target_bytes is not None and self.training.epochs > 0:
            raise ValueError(
                f"target_bytes: {self.target_bytes} is reached by the step, and quantization.training steers to sizes "
                "itself; give quantization.training.target_bytes instead, or training epochs of 0"
            )
        return self


class Recipe(Settings):
    """One trial's settings: rounds of prune, retrain, quantise, code."""

    pruning: PruningRecipe = PruningRecipe()
    """Which weights go, and in how many rounds."""
    retrain: RetrainRecipe = RetrainRecipe()
    """How those that are left are trained after each round."""
    quantization: QuantizationRecipe = QuantizationRecipe()
    """Which values they take in the file."""

    @model_validator(mode="before")
    @classmethod
    def _null_does_nothing(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return given | {
            part: dict(nothing) for part, nothing in _NOTHING.items() if part in given and _is_none(given[part])
        }

    @model_validator(mode="after")
    def _survivors_stay_where_others_count_on_them(self) -> Recipe:
        if self.pruning.gradual > 0 and self.retrain.patience is not None:
            raise ValueError(
                "pruning.gradual: does not go with retrain.patience, which needs the same survivors throughout a "
                "round; leave one of them out"
            )
        return self

    def as_dict(self) -> dict[str, Any]:
        """Every setting, nested, ready for YAML or JSON."""
        return self.model_dump()

    def flat(self) -> dict[str, Scalar]:
        """Every setting by its dotted name; lists as text."""
        return {
            ".".join(address): value if isinstance(value, str | int | float | bool | None) else str(value)
            for address, value in flatten(self.as_dict()).items()
        }

    def cut(self, rounds: int) -> Recipe:
        """The recipe that ends with what this one has after ``rounds`` rounds.

        A schedule whose rounds depend on how many follow becomes the constant one with the same rates, one a round.
        """
        pruning = self.pruning
        cut: dict[str, Any] = {"rounds": rounds}
        if isinstance(pruning.rate, list):
            cut["rate"] = pruning.rate[:rounds]
        if rounds < pruning.rounds and not prefix_consistent(pruning.schedule):
            cut |= {"schedule": "constant", "final_sparsity": None, "rate": _rates(pruning, rounds)}
        return self.model_copy(update={"pruning": pruning.model_copy(update=cut)})


def _rates(pruning: PruningRecipe, rounds: int) -> list[float]:
    """Share of the survivors that each of the first rounds removes."""
    sparsity = SCHEDULES.load(pruning.schedule)
    densities = [1.0] + [
        1 - sparsity(number, pruning.rounds, pruning.rate, pruning.final_sparsity) for number in range(1, rounds + 1)
    ]
    return [1 - after / before for before, after in itertools.pairwise(densities)]
