"""The classification networks of torchvision, by name, with or without their published weights."""

from __future__ import annotations

import difflib
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, cast
from urllib.parse import urlparse

import torch
from torch import nn
from torchvision import models

from rdsearch.errors import MissingDataError, TaskError
from rdsearch.tasks.downloads import downloads_allowed


def torchvision_network(name: str) -> Callable[..., nn.Module]:
    """The function of ``torchvision.models`` that makes a network.

    Args:
        name: As torchvision has it (``"resnet50"``).

    Returns:
        Takes ``weights`` (a name as ``"IMAGENET1K_V2"``, downloaded, with a checksum), ``num_classes``.

    Raises:
        TaskError: torchvision has no classification network of this name; the function raises it for weights or
            classes that the network does not have, and `MissingDataError` for weights that cannot be fetched.
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
        if weights is not None:
            _check_at_hand(name, _published(name, weights))
        try:
            with warnings.catch_warnings():
                # GoogLeNet and Inception announce other initial weights for a future release.
                warnings.simplefilter("ignore", FutureWarning)
                return cast("nn.Module", models.get_model(name, weights=weights, **options))
        except ValueError as error:
            raise TaskError(
                f"torchvision:{name} with weights = {weights!r}, num_classes = {num_classes!r}: {error}"
            ) from error
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
            if weights is None:
                raise
            # A download is checked by its checksum before it gets its name, so nothing that came half is ever read.
            raise MissingDataError(_not_to_be_had(name, _published(name, weights), error)) from error

    return make


def _file_of(weights: Any) -> Path:
    """Where torchvision keeps published weights once it has fetched them."""
    return Path(torch.hub.get_dir()) / "checkpoints" / PurePosixPath(urlparse(weights.url).path).name


def _check_at_hand(name: str, weights: Any) -> None:
    file = _file_of(weights)
    if not downloads_allowed() and not file.exists():
        raise MissingDataError(f"the weights {weights.name} of torchvision:{name} are not at {file}")


def _not_to_be_had(name: str, weights: Any, error: Exception) -> str:
    file, reason = _file_of(weights), " ".join(str(error).split()) or type(error).__name__
    wrong = (
        f"{file} is damaged ({reason}): remove it" if file.exists() else f"the download failed ({reason}): try again"
    )
    return f"the weights {weights.name} of torchvision:{name}: {wrong}, or put {weights.url} at {file}"


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
