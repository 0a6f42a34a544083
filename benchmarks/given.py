"""The task that a benchmark's command line names."""

from __future__ import annotations

import argparse
from pathlib import Path

from rdsearch.tasks.loading import load_task
from rdsearch.tasks.settings import TaskConfig
from rdsearch.tasks.task import Task

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def task_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of the arguments that `given_task` reads."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="digits_cnn")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument(
        "--imagenet-statistics", action="store_true", help="normalise images by ImageNet's mean and std"
    )
    parser.add_argument(
        "--validation",
        type=int,
        default=360,
        help="images cut from the training split; 0 where the data set brings a validation split",
    )
    return parser


def given_task(arguments: argparse.Namespace) -> Task:
    """The task that the arguments name."""
    return load_task(
        TaskConfig(
            network=arguments.network,
            dataset=arguments.dataset,
            checkpoint=arguments.checkpoint,
            validation=arguments.validation or None,
            options={"dataset": IMAGENET if arguments.imagenet_statistics else {}},
        )
    )
