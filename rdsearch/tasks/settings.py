"""The ``task:`` and ``train:`` parts of a search file. Names are checked here without importing torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from rdsearch.base.registry import Registry
from rdsearch.base.schema import Settings
from rdsearch.errors import UnknownNameError
from rdsearch.tasks import DATASETS, NETWORKS

TORCHVISION_PREFIX = "torchvision:"
"""Networks of torchvision are named ``torchvision:NAME``."""

DATA_SUFFIXES = (".parquet", ".npz")
"""File names that are read as a data set."""

_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def is_import_path(name: str) -> bool:
    """Whether ``name`` has the form ``package.module:factory``, and is no network of torchvision."""
    return _IMPORT_PATH.fullmatch(name) is not None and not name.startswith(TORCHVISION_PREFIX)


def is_folder(name: str) -> bool:
    """Whether ``name`` is meant as a folder that a network was saved in rather than as a registered name."""
    return "/" in name or name.startswith((".", "~"))


def is_data_path(name: str) -> bool:
    """Whether ``name`` is meant as a file or folder of data rather than as a registered name."""
    return "/" in name or name.startswith((".", "~")) or name.endswith(DATA_SUFFIXES)


def _check_registered(registry: Registry[Any], name: str, other_forms: str) -> str:
    try:
        return registry.check(name)
    except UnknownNameError as error:
        raise ValueError(f"{error} Or {other_forms}.") from None


def _check_network(name: str) -> str:
    if is_import_path(name) or name.startswith(TORCHVISION_PREFIX) or is_folder(name):
        return name
    if name not in NETWORKS and Path(f"{name}.py").is_file():
        raise ValueError(f"{name!r} is no registered network but a module here: give its function, as {name}:FUNCTION")
    if name not in NETWORKS and Path(name).is_dir():
        raise ValueError(f"{name!r} is no registered network but a folder here: give './{name}' if it is meant")
    others = "give 'torchvision:NAME', a folder of transformers as './NAME', or your own as 'package.module:factory'"
    return _check_registered(NETWORKS, name, others)


def _check_dataset(name: str) -> str:
    if is_import_path(name) or is_data_path(name):
        return name
    if name not in DATASETS and Path(f"{name}.py").is_file():
        raise ValueError(f"{name!r} is no registered data set but a module here: give its function, as {name}:FUNCTION")
    if name not in DATASETS and Path(name).exists():
        raise ValueError(f"{name!r} is no registered data set but a path here: give './{name}' if it is meant")
    return _check_registered(
        DATASETS,
        name,
        "give a path with a / in it (.parquet, .npz, a folder of images), or your own as 'package.module:factory'",
    )


def _check_count_or_share(size: int | float) -> int | float:
    if isinstance(size, int) and size >= 1:
        return size
    if isinstance(size, float) and 0.0 < size < 1.0:
        return size
    raise ValueError(f"{size!r} must be a count of examples (5000), or a share of them above 0 and below 1 (0.1)")


class TrainingConfig(Settings):
    """How a network is trained, or retrained with its masks held."""

    epochs: float = Field(10, ge=0, le=10_000)
    """Passes over the training part, also parts of one; 0 trains nothing."""
    lr: float = Field(1e-3, gt=0, le=10)
    """Learning rate at the start."""
    batch_size: int = Field(128, ge=1, le=65_536)
    """Examples in a step."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """AdamW, Adam, or SGD with Nesterov momentum."""
    weight_decay: float = Field(0.0, ge=0, le=1)
    """Of weights, not of biases and normalisation: decoupled for AdamW, l2 for the others."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of SGD, the first beta of Adam and AdamW."""
    schedule: Literal["cosine", "constant", "step"] = "cosine"
    """Learning rate over the steps: half a cosine, as it is, or a tenth of it after half and after three quarters."""


class FactoryOptions(Settings):
    """Keyword arguments for the functions that make the network and the data."""

    network: dict[str, Any] = Field({})
    """Arguments of the network's factory."""
    dataset: dict[str, Any] = Field({})
    """Arguments of the data set's factory."""


class TaskConfig(Settings):
    """What is compressed: a network, its data, and how the dense network comes about."""

    network: Annotated[str, AfterValidator(_check_network)]
    """A registered name, torchvision:NAME, a folder that transformers saved (with a /), or package.module:factory."""
    dataset: Annotated[str, AfterValidator(_check_dataset)]
    """A registered name, a path of .parquet, .npz or image files, or package.module:factory."""
    options: FactoryOptions = FactoryOptions()
    """Arguments of the network's and the data set's factory."""
    root: Path | None = None
    """Folder of the data; RDSEARCH_DATA when not given, and then the cache."""
    checkpoint: Path | None = None
    """Trained weights: .safetensors, .pt, .pth or .th."""
    evaluate: Literal["accuracy", "kl"] = "accuracy"
    """The score: top-1 accuracy; or the divergence of the outputs from the float network's, in nats, without labels."""
    validation: Annotated[int | float, AfterValidator(_check_count_or_share)] | None = None
    """Cut from the training split: a count of examples, or a share of 1; a tenth when not given."""
    held_out: bool = False
    """That the trained weights (checkpoint, published weights) have never seen the validation part that is cut."""
    validation_subset: Annotated[int | float, AfterValidator(_check_count_or_share)] | None = None
    """What trials are scored on, of the validation part: a count or a share; all of it when not given. The front's
    files are scored on the whole part when the search ends."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Of the validation part and of the baseline's training."""
    train: TrainingConfig | None = None
    """How the baseline is trained; the known good way for the pair when not given."""
