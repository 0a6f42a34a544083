"""Commands that look before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rdsearch.base.terminal import make_console
from rdsearch.cli import completion
from rdsearch.cli.output import echo, overrides, warn
from rdsearch.errors import MissingDataError, TaskError

if TYPE_CHECKING:
    from rdsearch.config.searchfile import SearchFile
    from rdsearch.tasks.task import Task


@click.command()
@click.argument("space", shell_complete=completion.spaces)
@click.option("--file-only", is_flag=True, help="Look at the file alone, not at the network and the data.")
@overrides
def validate(space: str, file_only: bool, overrides: tuple[str, ...]) -> None:
    """Check a search file and its task, and show every mistake.

    The task is made, and one round is tried out on a few examples of what is on this machine: nothing is downloaded,
    and the dense network is not trained.
    """
    from rdsearch.config.ready import find_space
    from rdsearch.config.searchfile import load_search_file
    from rdsearch.search.run.cluster import available_cores

    path = find_space(space)
    file = load_search_file(path, overrides, cores=available_cores())
    task = None if file_only else _task_of(file)
    if task is not None:
        file = _show_choices(file, task)
    compressed = f"{file.task.network} on {file.task.dataset}" if file.task else "a task from Python"
    searched = len(file.space.domains)
    echo(
        f"{path}: {compressed}, {file.trials} trial{'s' * (file.trials != 1)}, {searched} searched "
        f"parameter{'s' * (searched != 1)}"
    )
    for name, domain in file.space.parameters.items():
        echo(f"  {name}: {domain}")
    if (few := file.few()) is not None:
        warn(few)
    if task is not None:
        _validate_task(file, task)
    echo(f"{path} is fine" + ("" if task is not None else ", as far as the file alone tells"))


def _task_of(file: SearchFile) -> Task | None:
    """The task, where its data is on this machine."""
    from rdsearch.tasks.downloads import without_downloads
    from rdsearch.tasks.loading import load_task

    if file.task is None:
        return None
    try:
        with without_downloads():
            return load_task(file.task)
    except MissingDataError as error:
        echo(f"The task was not looked at: {error}")
        return None


def _show_choices(file: SearchFile, task: Task) -> SearchFile:
    from rdsearch.search.choice import completed_for

    file, chosen = completed_for(file, task)
    for line in chosen:
        echo(f"  by default {line}")
    return file


def _validate_task(file: SearchFile, task: Task) -> None:
    from rdsearch.compression.coverage import left_aside
    from rdsearch.compression.rehearsal import pattern_mistakes, rehearse, samples_of
    from rdsearch.tasks.checks.check import examine
    from rdsearch.tasks.checks.plausibility import seen_before
    from rdsearch.testing import describe_task

    recipes = samples_of(file.space)
    problems = list(pattern_mistakes(task, recipes[0]))
    if not problems:
        for line in describe_task(task, recipes[0].pruning.skip):
            echo(f"  {line}")
        problems = examine(task, train=False) or rehearse(task, recipes)
    if not problems:
        for line in left_aside(task, recipes):
            echo(f"  {line}")
    if problems:
        raise TaskError("\n  - ".join([f"the task {task.name} is not fine:", *problems]))
    for doubt in seen_before(task):
        warn(doubt)


@click.command()
def schema() -> None:
    """Print the JSON schema of search files, for editors.

    Editors complete and check search files by it.
    """
    import json

    from rdsearch.config.jsonschema import search_file_schema

    echo(json.dumps(search_file_schema(), indent=2))


@click.command()
@click.argument("name", required=False, shell_complete=completion.spaces)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Copy the file of this name here, to change it.")
def spaces(name: str | None, output: Path | None) -> None:
    """List the ready search files, or show or copy one of them."""
    from rich.table import Table

    from rdsearch.base.files import write_atomically
    from rdsearch.config.ready import find_space, first_comment, ready_spaces

    if name is not None:
        text = find_space(name).read_text(encoding="utf-8")
        if output is None:
            echo(text.rstrip())
            return
        if output.exists():
            raise click.UsageError(f"--output {output}: it is there already; give another, or remove it")
        if not output.absolute().parent.is_dir():
            raise click.UsageError(f"--output {output}: there is no folder {output.absolute().parent}")
        write_atomically(output, text)
        echo(f"{output}: change it, then `rdsearch search {output}`")
        return
    if output is not None:
        raise click.UsageError("--output: say which one to copy (rdsearch spaces digits -o mine.yaml)")
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for name, path in ready_spaces().items():
        table.add_row(name, first_comment(path))
    make_console().print(table)
    echo("Run one with `rdsearch search NAME`, or copy it with `rdsearch spaces NAME -o FILE.yaml` and change it.")
