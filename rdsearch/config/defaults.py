"""What a search does where its file says nothing: the one place that decides it, by the kind of the task.

A search's own ``config.yaml`` holds what was chosen, so that a search stays what it was when it began. What a recipe
means that is read back from a file, key by key, is `rdsearch.config.recipe`'s and does not depend on a task.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rdsearch.config.recipe import QuantizationRecipe
from rdsearch.retraining.settings import LevelTraining

ACCURACY_DROP = 0.05
"""Of a search for an accuracy: what has lost more is of no use to most, and its trials end there."""

SMALL_PARAMETERS = 2_000_000
GPU_SHARE_SMALL, GPU_SHARE_LARGE = 0.25, 1.0
"""Of a GPU a trial: small networks leave most of it idle, and large ones may need all of its memory."""

QUANTIZERS: dict[bool, dict[str, Any]] = {
    True: {"method": "sequential", "step": 1.2},
    False: {"method": "uniform", "step": 0.2},
}
"""By whether the layers' inputs can be looked at.

Neither pruned nor retrained, digits_cnn, LeNet-300-100 and LeNet-5 lose less than their validation accuracy's standard
error at these steps, and ``sequential`` takes 34 to 43 % of the bytes of ``uniform``. A network with less to spare
loses more: a ResNet-20 on CIFAR-10 as JPEG images falls from 93.8 to 91.9 % of 1 000 images. Accuracy that must be kept
wants a smaller step, retraining, or a search.
"""

WITHOUT_ACCURACY: dict[str, Any] = {"granularity": "sensitivity"}
"""What ``sequential`` gets besides where the score is no accuracy: a divergence from the float network, a perplexity.

Of a small Llama's divergence it leaves half at equal bytes (docs/scale.md). It does not pay everywhere: a ResNet-20,
whose batch normalisation makes up for much of what steps do, takes more bytes by it (docs/recipes.md).
"""

STEPS: dict[bool, dict[str, Any]] = {
    True: {"float": [0.8, 4.0], "log": True},
    False: {"float": [0.2, 1.0], "log": True},
}
"""Range of the step in the usual space, by the same."""

CALIBRATION: int = QuantizationRecipe.model_fields["calibration"].default
CALIBRATED_NUMBERS, FEWEST_CALIBRATED = 2**27, 16
"""Numbers that the largest output of a layer has on all calibration inputs together, half a gigabyte of which a few are
there at a time; and inputs that are looked at however large they are."""

ROUNDS: dict[bool, dict[str, Any]] = {
    True: {
        "pruning": {
            "method": {"choice": ["global", "lamp", "erk", "surp"]},
            "rounds": 6,
            "rate": {"float": [0.25, 0.6]},
        },
        "retrain": {"epochs": 1, "lr": {"float": [3e-4, 5e-3], "log": True}},
        "quantization": {"bias_bits": {"int": [5, 8]}},
    },
    False: {
        "pruning": {"method": {"choice": ["global", "lamp"]}, "rounds": 1, "rate": {"float": [0.01, 0.3]}},
        "retrain": {"epochs": 0},
        "quantization": {"bias_bits": {"int": [6, 8]}},
    },
}
"""The space of rounds of pruning without its quantiser, by whether the network can be trained again."""

FILE: dict[str, Any] = {
    "pruning": {"rounds": 1, "rate": 0},
    "retrain": {"epochs": 0},
    "quantization": {"step": 1.6, "bias_bits": {"int": [5, 8]}},
}
"""The space of training for the file, without its quantiser and what depends on the task.

Searches over it end with larger hypervolumes than searches over rounds of pruning: 0.43 against 0.38 on digits (24
trials each of what ``rdsearch init`` writes, with and without ``--rounds``, a trial taking twice as long), 0.23 against
0.15 on LeNet-300-100 (the searches in results/, in two thirds of the trials' seconds).
"""
TAUGHT: dict[str, Any] = {"distillation": {"weight": {"choice": [0.0, 0.7]}}}
"""What retraining gets besides where the score is an accuracy: a teacher halves the drop of a ResNet-20 at 22 kB."""
FILE_LR: dict[str, Any] = {"float": [0.005, 0.03], "log": True}
FILE_STEPS, FEWEST_PASSES, MOST_PASSES = 10_000, 5, 40
"""Steps that a file is trained for, within bounds of passes over the data."""
COMPRESSED = 10, 1000
"""The largest and the smallest file that are trained for: so many times smaller than the dense network."""
ROOM = 1.5
"""The smallest file takes at least so many times as much as one without a single weight."""


@dataclass(frozen=True)
class Kind:
    """What the defaults depend on.

    Attributes:
        accuracy: Whether the score is an accuracy, of which a drop means the same for every task.
        trains: Whether what retraining minimises fits the targets: the task brings a loss, or the targets are classes.
        calibrates: Whether the quantiser ``sequential`` can look at the inputs of the network's layers.
        parameters: Of the network.
        examples: Of the training part.
        smallest_file: Bytes of a file whose weights are all zero.
        largest_output: Numbers in what a layer gives for one example, at most.
    """

    accuracy: bool
    trains: bool
    calibrates: bool
    parameters: int
    examples: int
    smallest_file: int
    largest_output: int = 1


def usual_space(kind: Kind) -> dict[str, Any]:
    """The ``recipe:`` of a search file that has none: training for the file where the network can be trained."""
    sizes = _file_sizes(kind)
    if not kind.trains or sizes is None:
        return rounds_space(kind)
    space = copy.deepcopy(FILE)
    passes = math.ceil(FILE_STEPS / math.ceil(kind.examples / LevelTraining().batch_size))
    training = {
        "target_bytes": {"int": list(sizes), "log": True},
        "epochs": min(MOST_PASSES, max(FEWEST_PASSES, passes)),
        "lr": copy.deepcopy(FILE_LR),
    }
    quantizer = quantizer_of(kind.calibrates, kind.accuracy) | calibration_for(kind.largest_output)
    return space | {
        "retrain": space["retrain"] | (copy.deepcopy(TAUGHT) if kind.accuracy else {}),
        "quantization": quantizer | space["quantization"] | {"training": training},
    }


def rounds_space(kind: Kind) -> dict[str, Any]:
    """A ``recipe:`` of pruning and retraining in rounds; in one, without retraining, where it cannot be trained."""
    space = copy.deepcopy(ROUNDS[kind.trains])
    quantizer = quantizer_of(kind.calibrates, kind.accuracy) | calibration_for(kind.largest_output)
    quantizer |= {"step": copy.deepcopy(STEPS[kind.calibrates])}
    return space | {"quantization": quantizer | space["quantization"]}


def _said_of(space: Mapping[str, Any]) -> str:
    if "training" in space["quantization"]:
        return "training for the file"
    return f"rounds of pruning with{'' if space['retrain']['epochs'] else 'out'} retraining"


def _file_sizes(kind: Kind) -> tuple[int, int] | None:
    """Least and most bytes that files are trained for; ``None`` for networks that hardly take more than a header."""
    dense, (largest, smallest) = 4 * kind.parameters, COMPRESSED
    low = _two_digits(max(ROOM * kind.smallest_file, dense / smallest))
    high = _two_digits(max(dense / largest, 4 * low))
    return (low, high) if high < dense else None


def _two_digits(number: float) -> int:
    return int(float(f"{max(number, 1.0):.2g}"))


def quantizer_of(calibrates: bool, accuracy: bool) -> dict[str, Any]:
    """The quantiser's settings by what `Kind` says."""
    return QUANTIZERS[calibrates] | (WITHOUT_ACCURACY if calibrates and not accuracy else {})


def calibration_for(largest_output: int) -> dict[str, Any]:
    """How many inputs the quantiser looks at, where the usual number would take much memory; see `Kind`."""
    count = max(FEWEST_CALIBRATED, CALIBRATED_NUMBERS // max(1, largest_output))
    return {"calibration": count} if count < CALIBRATION else {}


def gpu_share(kind: Kind) -> float:
    """Share of a GPU that a trial takes, where there is one."""
    return GPU_SHARE_SMALL if kind.parameters < SMALL_PARAMETERS else GPU_SHARE_LARGE


def quantizer_for(recipe: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """What of the quantiser a recipe leaves open; ``dead_zone`` is an option of ``uniform`` and stands for it."""
    given = recipe.get("quantization") or {}
    chosen = calibration_for(kind.largest_output)
    if "method" not in given:
        chosen = quantizer_of(kind.calibrates and "dead_zone" not in given, kind.accuracy) | chosen
    return {key: value for key, value in chosen.items() if key not in given}


def leaves_quantizer_open(tree: Mapping[str, Any]) -> bool:
    """Whether a search file's mapping does not say how to quantise, so that it depends on the network."""
    return "method" not in ((tree.get("recipe") or {}).get("quantization") or {})


def completed(tree: Mapping[str, Any], kind: Kind) -> tuple[dict[str, Any], list[str]]:
    """A search file's mapping with what it leaves open filled in.

    Args:
        tree: As `rdsearch.config.searchfile.check_search` took it.
        kind: Of the task.

    Returns:
        The whole mapping, and a line for each choice.
    """
    full, chosen = dict(tree), []
    recipe = dict(full.get("recipe") or {})
    if not recipe:
        full["recipe"] = usual_space(kind)
        chosen.append(f"recipe: the usual space, {_said_of(full['recipe'])}")
    elif added := quantizer_for(recipe, kind):
        full["recipe"] = recipe | {"quantization": added | dict(recipe.get("quantization") or {})}
        chosen += [f"recipe.quantization.{key}: {value}" for key, value in added.items()]
    search, resources = dict(full.get("search") or {}), dict(full.get("resources") or {})
    if search.get("constraints") is None and kind.accuracy:
        full["search"] = search | {"constraints": {"accuracy_drop": ACCURACY_DROP}}
        chosen.append(f"search.constraints: accuracy_drop {ACCURACY_DROP:g}")
    if resources.get("gpu") is None:
        full["resources"] = resources | {"gpu": gpu_share(kind)}
    return full, chosen
