"""Commands on one ``.rdz`` file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from rdsearch.base.terminal import make_console
from rdsearch.cli import completion
from rdsearch.cli.output import echo, overrides, warn

if TYPE_CHECKING:
    from rdsearch.tasks.settings import TaskConfig


@contextmanager
def _without(package: str) -> Iterator[None]:
    """Hide a package that is not imported yet.

    numba imports scipy, where it is, for products of matrices; no decoder forms any, and it takes a fifth of the time.
    """
    hidden = sys.modules.setdefault(package, cast("Any", None)) is None
    try:
        yield
    finally:
        if hidden:
            del sys.modules[package]


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .safetensors file to write.")
def decode(file: Path, output: Path) -> None:
    """Turn a .rdz file back into weights."""
    from rdsearch.compression.loading import decode as decode_network
    from rdsearch.compression.loading import save_state

    with _without("scipy"):
        state = decode_network(file).state_dict()
    save_state(state, output)
    echo(f"{output}: {len(state)} tensors, {sum(array.size for array in state.values()):,} values")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--levels", is_flag=True, help="Decode the weights too: how many levels each tensor has, and its zeros.")
def info(file: Path, levels: bool) -> None:
    """Show what is in a .rdz file and what each part costs.

    What has to be done to inputs is shown too, where the file's recipe lies in its folder.
    """
    from rdsearch.report.fileinfo import file_info

    make_console().print(file_info(file, levels=levels))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--max-bytes", metavar="SIZE", required=True, help="Largest size of the new file, such as 20k.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .rdz file to write.")
def truncate(file: Path, max_bytes: str, output: Path) -> None:
    """Cut a file in quality layers down to a size.

    What is left is the finest network of at most this size.
    """
    from rdsearch.base.files import write_atomically
    from rdsearch.base.units import parse_size
    from rdsearch.compression.loading import decode as decode_network
    from rdsearch.compression.loading import truncated

    data = truncated(file, parse_size(max_bytes))
    write_atomically(output, data)
    network = decode_network(data)
    echo(f"{output}: {len(data):,} bytes, {network.refinement} of {network.refinements} quality layers")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("task_file", metavar="TASK.yaml|DIR", shell_complete=completion.spaces)
@click.option("--test", "on_test", is_flag=True, help="Read the test split instead of the validation part.")
@overrides
def evaluate(file: Path, task_file: str, on_test: bool, overrides: tuple[str, ...]) -> None:
    """Score a .rdz file on a task's validation part.

    The task is that of a search file, a ready search or a search's folder.
    """
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
