"""The commands that give files of a front to others: as a folder, or as a repository."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rdsearch.base.terminal import make_console, say
from rdsearch.cli import completion
from rdsearch.cli.output import bounds

if TYPE_CHECKING:
    from rdsearch.points.front import Front
    from rdsearch.points.point import OperatingPoint


@click.command()
@click.argument("directory", shell_complete=completion.folders)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The folder to make.")
@bounds
@click.option("--knee", is_flag=True, help="The point where the front bends.")
@click.option("--point", "number", type=click.IntRange(min=1), help="The point of this number in `rdsearch front`.")
def ship(
    directory: str, output: Path, max_drop: float | None, max_bytes: str | None, knee: bool, number: int | None
) -> None:
    """Pack one file of the front with all that it takes to use it.

    The folder holds the .rdz file, safetensors, ONNX and torch programs, predict.py and a model card. Each of them is
    run and compared with the file before the folder is there.
    """
    from rdsearch.search.outcome.results import read_results
    from rdsearch.shipping.package import ship as ship_point

    if _ways(max_drop, max_bytes, knee, number) != 1:
        raise click.UsageError("say which point: one of --knee, --point, and limits (--max-drop, --max-bytes)")
    point = _chosen(read_results(directory).front, max_drop, max_bytes, knee, number)
    done = ship_point(directory, point, output, command=shlex.join(["rdsearch", *sys.argv[1:]]))
    console = make_console()
    width = max(map(len, done.sizes))
    for name, size in done.sizes.items():
        say(console, f"  {name:<{width}}  {size:>11,} bytes  {done.checked.get(name, '')}".rstrip())
    for note in done.notes:
        say(console, f"Note: {note}", style="yellow")
    say(
        console, f"{output}: {point.size_bytes:,} bytes for trial {point.trial}, round {point.round}; see its README.md"
    )


@click.command()
@click.argument("directory", shell_complete=completion.folders)
@click.argument("repo", shell_complete=completion.folders)
@bounds
@click.option("--knee", is_flag=True, help="The point where the front bends.")
@click.option("--point", "number", type=click.IntRange(min=1), help="The point of this number in `rdsearch front`.")
@click.option("--safetensors", is_flag=True, help="Put the decoded weights beside each file.")
@click.option("--private", is_flag=True, help="If the repository is new on the Hub, make it private.")
def push(
    directory: str,
    repo: str,
    max_drop: float | None,
    max_bytes: str | None,
    knee: bool,
    number: int | None,
    safetensors: bool,
    private: bool,
) -> None:
    """Upload the front, or one file of it, to Hugging Face.

    REPO is owner/name on the Hugging Face Hub, or a folder as ./name. A model card goes with the files. What was pushed
    there before is replaced.
    """
    from rdsearch.search.outcome.results import read_results
    from rdsearch.shipping.repository import push as push_points

    ways = _ways(max_drop, max_bytes, knee, number)
    if ways > 1:
        raise click.UsageError("say which point in one way: --knee, --point, or limits (--max-drop, --max-bytes)")
    points = [_chosen(read_results(directory).front, max_drop, max_bytes, knee, number)] if ways else None
    done = push_points(directory, repo, points=points, safetensors=safetensors, private=private)
    _show(done.sizes)
    say(make_console(), done.place)


@click.command()
@click.argument("repo", shell_complete=completion.folders)
@click.argument("directory", type=click.Path(path_type=Path))
def pull(repo: str, directory: Path) -> None:
    """Download what `push` has uploaded, and check every file."""
    from rdsearch.shipping.repository import pull as pull_repository

    done = pull_repository(repo, directory)
    _show(done.sizes)
    first = next(name for name in done.sizes if name.endswith(".rdz"))
    say(make_console(), f"{directory}: `rdsearch info {shlex.quote(str(directory / first))}` says what is in a file")


def _show(sizes: dict[str, int]) -> None:
    width = max(map(len, sizes))
    for name, size in sizes.items():
        say(make_console(), f"  {name:<{width}}  {size:>11,} bytes")


def _ways(max_drop: float | None, max_bytes: str | None, knee: bool, number: int | None) -> int:
    """In how many ways a point is chosen."""
    return knee + (number is not None) + (max_drop is not None or max_bytes is not None)


def _chosen(
    front: Front, max_drop: float | None, max_bytes: str | None, knee: bool, number: int | None
) -> OperatingPoint:
    from rdsearch.base.units import parse_size

    if knee:
        return front.knee()
    if number is not None:
        if number > len(front):
            raise click.UsageError(f"--point {number}: the front has {len(front)} points")
        return front[number - 1]
    return front.pick(max_drop=max_drop, max_bytes=parse_size(max_bytes) if max_bytes is not None else None)
