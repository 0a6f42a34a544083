"""From the ``task:`` part of a search file to a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rdsearch.base.blame import blamed
from rdsearch.errors import TaskError
from rdsearch.tasks import DATASETS, NETWORKS
from rdsearch.tasks.calls import call_with_options, taken_by
from rdsearch.tasks.data.paths import open_path
from rdsearch.tasks.data.source import DataSource
from rdsearch.tasks.imports import ImportedFactory
from rdsearch.tasks.networks.identity import RegisteredNetwork, build_network
from rdsearch.tasks.networks.pretrained_folder import PretrainedFolder
from rdsearch.tasks.settings import TORCHVISION_PREFIX, TaskConfig, is_data_path, is_folder, is_import_path
from rdsearch.tasks.splits import as_split
from rdsearch.tasks.task import Task
from rdsearch.tasks.training.recipes import expected_accuracy, training_for
from rdsearch.tasks.weights.state import layout_fingerprint


def load_task(config: TaskConfig) -> Task:
    """Make the task: reads the training data; the test split stays unread, the network untrained.

    Args:
        config: What is asked for.

    Raises:
        TaskError: Data or network cannot be made, or do not fit each other.
    """
    source = _source(config)
    network, network_id = _network(config, source.classes)
    if source.validation is not None and config.validation is not None:
        raise TaskError(
            f"task.validation is {config.validation}, but {config.dataset} brings a validation split "
            "of its own: leave one of the two out"
        )
    called = Path(config.network).name if is_folder(config.network) else config.network
    task = Task(
        network=network,
        train=source.train,
        validation=config.validation if source.validation is None else source.validation,
        test=source.test,
        evaluate=None if config.evaluate == "accuracy" else config.evaluate,
        name=f"{called}-{Path(config.dataset).stem}",
        validation_subset=config.validation_subset,
        checkpoint=config.checkpoint,
        training=config.train or training_for(config.network, config.dataset),
        seed=config.seed,
        network_id=network_id,
        expected_accuracy=_expected(config) if config.evaluate == "accuracy" else None,
        held_out=config.held_out,
    )
    try:
        task.check_fit()  # a pair that does not fit is refused at once
    except TaskError as error:
        raise TaskError(f"network {config.network} and data {config.dataset}: {error}") from error
    return task


def _source(config: TaskConfig) -> DataSource:
    options = dict(config.options.dataset)
    if is_import_path(config.dataset):
        return own_source(config.dataset, ImportedFactory(config.dataset, options)())
    usual = _trained_inputs(config)
    if is_data_path(config.dataset):
        return open_path(config.dataset, config.root, options, usual)
    factory = DATASETS.load(config.dataset)
    options = taken_by(factory, usual) | options
    if DATASETS.is_own(config.dataset):
        return call_with_options(factory, options, f"data set {config.dataset}", config.root)
    if config.root is not None:
        options = {"root": config.root, **options}
    with blamed(f"data set {config.dataset} fails"):
        made = call_with_options(factory, options, f"data set {config.dataset}")
    return own_source(config.dataset, made)


def _trained_inputs(config: TaskConfig) -> dict[str, Any]:
    """Options of the data that the network's own weights were trained with, where they tell them."""
    if is_folder(config.network):
        from rdsearch.tasks.networks.trained_inputs import saved_inputs

        return saved_inputs(Path(config.network).expanduser().absolute())
    weights = config.options.network.get("weights")
    if weights is None or not config.network.startswith(TORCHVISION_PREFIX):
        return {}
    from rdsearch.tasks.networks.torchvision_models import published_transform  # takes a second
    from rdsearch.tasks.networks.trained_inputs import torchvision_inputs

    return torchvision_inputs(published_transform(config.network.removeprefix(TORCHVISION_PREFIX), weights))


def own_source(path: str, made: Any) -> DataSource:
    """What a function of a user's returned, as a data source.

    Args:
        path: The function's name, for messages.
        made: A `DataSource`, or a mapping with ``train`` and optionally ``validation`` and ``test``.

    Raises:
        TaskError: It is neither.
    """
    if isinstance(made, DataSource):
        return made
    if not isinstance(made, Mapping) or "train" not in made:
        found = sorted(map(str, made)) if isinstance(made, Mapping) else f"a {type(made).__name__}"
        raise TaskError(
            f"{path} returned {found}: a mapping with 'train', 'test' and optionally 'validation' is needed"
        )
    if unknown := sorted(set(made) - {"train", "validation", "test"}):
        raise TaskError(f"{path} returned unknown keys {unknown}: known are 'train', 'validation', 'test'")
    validation = made.get("validation")
    return DataSource(
        train=as_split(made["train"], f"{path}: train"),
        test=made.get("test"),
        classes=None,
        validation=None if validation is None else as_split(validation, f"{path}: validation"),
    )


def _network(config: TaskConfig, classes: int | None) -> tuple[Callable[[], nn.Module] | nn.Module, str | None]:
    """The network, or what makes it, and its id."""
    options = dict(config.options.network)
    if is_import_path(config.network):
        return ImportedFactory(config.network, options), None
    if is_folder(config.network):
        folder = PretrainedFolder(Path(config.network).expanduser().absolute(), options)
        return folder if config.train is not None or config.checkpoint is not None else folder(), None
    network = RegisteredNetwork(config.network, options)
    if options.get("weights"):
        return _published_network(network, config)
    if classes is not None:
        for option in ("classes", "num_classes"):
            if network.takes(option):
                network = RegisteredNetwork(config.network, {option: classes, **options})
    if config.network.startswith(TORCHVISION_PREFIX) or NETWORKS.is_own(config.network):
        return network, network.id
    return network, None  # a file of it says its layout itself, and is read where the package is not


def _published_network(
    network: RegisteredNetwork, config: TaskConfig
) -> tuple[Callable[[], nn.Module] | nn.Module, str | None]:
    trained = network()
    # Some networks come with published weights in another form than without, and an id says nothing of weights.
    with torch.device("meta"):
        same = layout_fingerprint(build_network(network.id).state_dict()) == layout_fingerprint(trained.state_dict())
    # Made once where it is to stay as it is: each making reads the published file again, on every machine.
    stays = config.train is None and config.checkpoint is None
    return trained if stays else network, network.id if same else None


def _expected(config: TaskConfig) -> float | None:
    weights = config.options.network.get("weights")
    if weights is not None and config.network.startswith(TORCHVISION_PREFIX) and config.dataset == "imagenet":
        from rdsearch.tasks.networks.torchvision_models import published_accuracy  # takes a second

        return published_accuracy(config.network.removeprefix(TORCHVISION_PREFIX), weights)
    return expected_accuracy(config.network, config.dataset)
