"""The command that scores a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rdsearch.cli.output import echo, overrides, warn

if TYPE_CHECKING:
    from rdsearch.tasks.settings import TaskConfig


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("task_file", metavar="TASK.yaml|DIR")
@click.option("--test", "on_test", is_flag=True, help="Read the test split instead of the validation part.")
@overrides
def evaluate(file: Path, task_file: str, on_test: bool, overrides: tuple[str, ...]) -> None:
    """Score a .rdz file on a task's validation part; the task is a file's, a ready search's or a search folder's."""
    from rdsearch.compression.measure import score_file
    from rdsearch.tasks.checks.plausibility import seen_before
    from rdsearch.tasks.loading import load_task

    task = load_task(_task_config(task_file, overrides))
    scored = score_file(task, file, test=on_test)
    if on_test:
        echo("The test split was read: choose no file by this figure.")
    else:
        for doubt in seen_before(task):
            warn(doubt)
    echo(f"{file}: {scored.size_bytes:,} bytes, {scored.text}")


def _task_config(task_file: str, overrides: tuple[str, ...]) -> TaskConfig:
    """The task of a file, or of the search in a folder."""
    from rdsearch.config.ready import find_space
    from rdsearch.config.searchfile import load_task_file

    kept = Path(task_file) / "config.yaml"
    return load_task_file(kept if kept.is_file() else find_space(task_file), overrides)
