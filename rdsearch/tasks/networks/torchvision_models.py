"""The classification networks of torchvision, by name, with or without their published weights."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable
from typing import Any, cast

from torch import nn
from torchvision import models

from rdsearch.errors import TaskError


def torchvision_network(name: str) -> Callable[..., nn.Module]:
    """The function of ``torchvision.models`` that makes a network.

    Args:
        name: As torchvision has it (``"resnet50"``).

    Returns:
        Takes ``weights`` (a name as ``"IMAGENET1K_V2"``, downloaded, with a checksum), ``num_classes``.

    Raises:
        TaskError: torchvision has no classification network of this name.
    """
    known = models.list_models(module=models)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        raise TaskError(
            f"torchvision has no classification network {name!r}"
            + (f": did you mean {' or '.join(near)}?" if near else f": known are {', '.join(known)}")
        )

    def make(*, weights: str | None = None, num_classes: int | None = None) -> nn.Module:
        options = {} if num_classes is None else {"num_classes": num_classes}
        try:
            with warnings.catch_warnings():
                # GoogLeNet and Inception announce other initial weights for a future release.
                warnings.simplefilter("ignore", FutureWarning)
                return cast("nn.Module", models.get_model(name, weights=weights, **options))
        except (KeyError, ValueError, OSError) as error:
            published = ", ".join(models.get_model_weights(name).__members__)
            raise TaskError(
                f"torchvision:{name} with weights = {weights!r}, num_classes = {num_classes!r}: {error}. "
                f"Published weights: {published}"
            ) from error

    return make


def _published(name: str, weights: str) -> Any:
    known = models.get_model_weights(name)
    if weights != "DEFAULT" and weights not in known.__members__:
        raise TaskError(f"torchvision:{name} has no weights {weights!r}: known are {', '.join(known.__members__)}")
    return known[weights]


def published_transform(name: str, weights: str) -> Any:
    """What turns an image into the input that published weights were trained for.

    Args:
        name: As torchvision has it.
        weights: Name of the weights.

    Raises:
        TaskError: The network has no such weights.
    """
    return _published(name, weights).transforms()


def published_accuracy(name: str, weights: str) -> float | None:
    """Top-1 accuracy on ImageNet that torchvision states for weights, a share of 1; ``None`` where it states none.

    Raises:
        TaskError: The network has no such weights.
    """
    percent = _published(name, weights).meta["_metrics"].get("ImageNet-1K", {}).get("acc@1")
    return None if percent is None else percent / 100
