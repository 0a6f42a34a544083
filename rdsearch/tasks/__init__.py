"""WHAT is compressed: a network, its data, and the score that says how well it does its job.

A :class:`~rdsearch.tasks.task.Task` joins the three. Networks and data sets have registered names; a user's
own are given as objects, or as ``"package.module:factory"``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rdsearch.base.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from rdsearch.tasks.data.source import DataSource
    from rdsearch.tasks.evaluation import evaluate
    from rdsearch.tasks.loading import load_task
    from rdsearch.tasks.task import Task
    from rdsearch.tasks.training.train import train

__all__ = ["DATASETS", "NETWORKS", "Task", "evaluate", "load_task", "train"]

_NETWORKS = "rdsearch.tasks.networks"
_DATA = "rdsearch.tasks.data"

NETWORKS: Registry[Callable[..., nn.Module]] = Registry(
    "network",
    {
        "digits_cnn": f"{_NETWORKS}.digits_cnn:digits_cnn",
        "lenet300": f"{_NETWORKS}.lenet:lenet300",
        "lenet5_caffe": f"{_NETWORKS}.lenet:lenet5_caffe",
        "resnet20": f"{_NETWORKS}.resnet_cifar:resnet20",
        "resnet32": f"{_NETWORKS}.resnet_cifar:resnet32",
        "resnet44": f"{_NETWORKS}.resnet_cifar:resnet44",
        "resnet56": f"{_NETWORKS}.resnet_cifar:resnet56",
        "resnet110": f"{_NETWORKS}.resnet_cifar:resnet110",
        "vgg16": f"{_NETWORKS}.vgg_cifar:vgg16",
        "resnet18": f"{_NETWORKS}.cifar_forms:resnet18",
        "densenet121": f"{_NETWORKS}.cifar_forms:densenet121",
        "efficientnet_b0": f"{_NETWORKS}.cifar_forms:efficientnet_b0",
    },
    group="rdsearch.networks",
)

DATASETS: Registry[Callable[..., DataSource]] = Registry(
    "data set",
    {
        "digits": f"{_DATA}.digits:digits",
        "mnist": f"{_DATA}.mnist:mnist",
        "fashion_mnist": f"{_DATA}.mnist:fashion_mnist",
        "cifar10": f"{_DATA}.cifar:cifar10",
        "cifar100": f"{_DATA}.cifar:cifar100",
        "imagenet": f"{_DATA}.image_folder:imagenet",
    },
    group="rdsearch.datasets",
)

_LAZY = {
    "Task": "rdsearch.tasks.task",
    "load_task": "rdsearch.tasks.loading",
    "evaluate": "rdsearch.tasks.evaluation",
    "train": "rdsearch.tasks.training.train",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
