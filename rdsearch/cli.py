"""The command line: thin, every command a few calls into the library."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import click

from rdsearch import __version__
from rdsearch.errors import MissingDataError, RdsearchError, TaskError

if TYPE_CHECKING:
    from rich.console import Console

    from rdsearch.search.outcome.results import Results
    from rdsearch.search.run.runner import Limits
    from rdsearch.search.store.folder import SearchFolder
    from rdsearch.tasks.settings import TaskConfig

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

F = TypeVar("F", bound=Callable[..., Any])


class _Group(click.Group):
    """Lists the commands in the order in which a user meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="rdsearch")
def app() -> None:
    """Find the smallest files that still do the job.

    A search tries pruning schedules, per-layer budgets and quantisers on a trained network and ends with the
    Pareto front of file size and accuracy, as files that decode to the networks whose accuracy is shown.
    """


def main() -> None:
    """Run the command line; a user's mistake ends it with status 2 and one message."""
    try:
        status = app(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        status = INTERRUPTED
    except RdsearchError as error:
        click.echo(f"Error: {error}", err=True)
        status = error.exit_code
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            # The reader of a pipe (head, less) has had enough.
            sys.stderr.close()
            sys.exit(0)
        click.echo(f"Error: {error.filename or 'the disk'}: {error.strerror or error}", err=True)
        status = RdsearchError.exit_code
    sys.exit(status if isinstance(status, int) else 0)


def _limits(function: F) -> F:
    for option in (
        click.option("--trials", type=click.IntRange(min=1), help="Trials that the search shall have in the end."),
        click.option("--time", metavar="DURATION", help="Stop after this wall time, such as 90m or 2h."),
        click.option("--address", metavar="ADDRESS", help="A Ray cluster's address; 'auto' for the one running here."),
    ):
        function = option(function)
    return function


_overrides = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the file, as in task.root=data."
)


@app.command()
@click.argument("space")
@click.option("--out", help="A new folder, or s3://BUCKET/PREFIX, for the search. [default: results/NAME]")
@click.option("--warm-start", metavar="DIR", help="Try the front of an earlier search first.")
@_overrides
@_limits
def search(
    space: str,
    out: str | None,
    warm_start: str | None,
    overrides: tuple[str, ...],
    trials: int | None,
    time: str | None,
    address: str | None,
) -> None:
    """Run a search. SPACE is a search file, or the name of a ready one (see `rdsearch spaces`)."""
    from rdsearch.search.api import limits_of, start

    limits = limits_of(trials, time)
    folder = start(space, out=out, overrides=overrides, warm_start=warm_start, address=address)
    _run(folder, limits, address, command=shlex.join(["rdsearch", *sys.argv[1:]]))


@app.command()
@click.argument("directory")
@_limits
def resume(directory: str, trials: int | None, time: str | None, address: str | None) -> None:
    """Go on with a search after an interruption, or add trials to a finished one."""
    from rdsearch.search.api import limits_of
    from rdsearch.search.store.folder import SearchFolder

    _run(SearchFolder.open(directory), limits_of(trials, time), address, command=None)


def _run(folder: SearchFolder, limits: Limits, address: str | None, *, command: str | None) -> None:
    from rdsearch.search.api import go_on

    console = _console()
    try:
        results, ending = go_on(folder, limits, address=address, console=console, command=command)
    except KeyboardInterrupt:
        click.echo(f"interrupted; go on with `rdsearch resume {folder.address}`", err=True)
        sys.exit(INTERRUPTED)
    _write_pictures(results)
    _show_end(console, results)
    if ending == "interrupted":
        sys.exit(INTERRUPTED)


@app.command()
@click.argument("directory")
@click.option("--max-drop", type=click.FloatRange(min=0), help="The smallest file with at most this accuracy drop.")
@click.option("--max-bytes", metavar="SIZE", help="The most accurate file of at most this size, such as 20k.")
@click.option("--knee", is_flag=True, help="The point where the front bends.")
@click.option("--standard-error", is_flag=True, help="The smallest file within a standard error of the best accuracy.")
@click.option("--layers", is_flag=True, help="Every quality layer of the front's files, scored on the validation part.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
def front(
    directory: str,
    max_drop: float | None,
    max_bytes: str | None,
    knee: bool,
    standard_error: bool,
    layers: bool,
    form: Literal["table", "csv", "json"],
) -> None:
    """The front of a search, or the one point of it that fits."""
    from rdsearch.base.units import parse_size
    from rdsearch.report.search import ancestor_names, importance_lines
    from rdsearch.report.table import front_table, front_text
    from rdsearch.search.outcome.results import misses_text, read_results

    limits = max_drop is not None or max_bytes is not None
    if knee + standard_error + limits + layers > 1:
        raise click.UsageError(
            "give only one of --knee, --standard-error, --layers, and limits (--max-drop, --max-bytes)"
        )
    results = read_results(directory)
    if not len(results.front):
        raise RdsearchError(misses_text(results))
    if layers:
        _show_layers(results, form)
        return
    chosen = results.front.knee() if knee else None
    if standard_error:
        chosen = results.front.within_standard_error()
    if limits:
        size = parse_size(max_bytes) if max_bytes is not None else None
        chosen = results.front.pick(max_drop=max_drop, max_bytes=size)
    if form == "table":
        caption = "\n".join([results.score_note, *importance_lines(results)])
        names = ancestor_names(results)
        _console().print(front_table(results.front, chosen=chosen, caption=caption, ancestors=names))
        if chosen is not None:
            click.echo(chosen.path)
    elif form == "csv":
        click.echo(front_text(results.front, "csv", chosen=chosen), nl=False)
    else:
        click.echo(front_text(results.front, "json", chosen=chosen), nl=False)


def _show_layers(results: Results, form: Literal["table", "csv", "json"]) -> None:
    from rdsearch.report.progressive import layer_table, layer_text
    from rdsearch.search.outcome.progressive import layer_points

    points = layer_points(results)
    if form != "table":
        click.echo(layer_text(points, form), nl=False)
        return
    _console().print(layer_table(points, caption=results.score_note))
    if all(point.layers == 1 for point in points):
        click.echo("No file on the front has quality layers: search with recipe.quantization.layers above 1.")


@app.command()
@click.argument("directory")
def test(directory: str) -> None:
    """Read the test split, once, for the files on the front, and write what it says beside them."""
    from rdsearch.report.table import front_table
    from rdsearch.search.outcome.results import read_results, write_results
    from rdsearch.search.outcome.testsplit import BASELINE, read_test_split

    read = read_test_split(read_results(directory), say=click.echo)
    results = read_results(directory)
    write_results(results)
    _write_pictures(results)
    console = _console()
    console.print(front_table(results.front, caption=results.score_note))
    console.print(f"Dense network: test accuracy {results.folder.read_tests()[BASELINE]:.4f}", highlight=False)
    if not read:
        console.print("These figures were on record; the test split was not read again.", highlight=False)


@app.command()
@click.argument("directory")
def report(directory: str) -> None:
    """Write one self-contained HTML page about a search."""
    from rdsearch.search.outcome.results import read_results, write_results

    results = read_results(directory)
    write_results(results)
    _write_pictures(results)
    click.echo(results.folder.report)


@app.command()
@click.argument("task_file", metavar="TASK.yaml")
@_overrides
def train(task_file: str, overrides: tuple[str, ...]) -> None:
    """Train the dense network of a task, or find it in the cache, and show its validation accuracy."""
    from rdsearch.base.device import choose_device
    from rdsearch.compression.measure import measure_baseline
    from rdsearch.config.ready import find_space
    from rdsearch.config.searchfile import load_task_file
    from rdsearch.tasks.loading import load_task
    from rdsearch.tasks.plausibility import doubts

    task = load_task(load_task_file(find_space(task_file), overrides))
    console = _console()
    task.dense_state(
        progress=lambda epoch: console.print(
            f"epoch {epoch.number}/{epoch.of}: loss {epoch.loss:.4f}, {epoch.seconds:.1f} s", highlight=False
        )
    )
    baseline = measure_baseline(task, choose_device())
    console.print(
        f"{task.name}: {task.score_text(baseline.accuracy)}, {baseline.size_bytes:,} bytes",
        highlight=False,
        soft_wrap=True,
    )
    for note in task.notes:
        console.print(f"Note: {note}", highlight=False, soft_wrap=True, markup=False)
    for doubt in doubts(task, baseline.accuracy):
        console.print(f"Warning: {doubt}", highlight=False, style="yellow", soft_wrap=True, markup=False)


@app.command()
@click.argument("task_file", metavar="TASK.yaml")
@click.argument("recipe_file", metavar="RECIPE.yaml")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .rdz file to write.")
@click.option("--round", "number", type=click.IntRange(min=1), help="Keep this round's file. [default: the last]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--embed-recipe", is_flag=True, help="Store the recipe in the file; its bytes count.")
@_overrides
def compress(
    task_file: str,
    recipe_file: str,
    output: Path,
    number: int | None,
    seed: int,
    embed_recipe: bool,
    overrides: tuple[str, ...],
) -> None:
    """Compress a task's network by one recipe, without a search."""
    from rdsearch.base.files import write_atomically
    from rdsearch.compression.rounds import compress as compress_task
    from rdsearch.config.ready import find_space
    from rdsearch.config.searchfile import load_recipe_file, load_task_file
    from rdsearch.tasks.loading import load_task

    recipe = load_recipe_file(recipe_file)
    if number is not None and number > recipe.pruning.rounds:
        raise click.UsageError(f"--round {number}: the recipe has {recipe.pruning.rounds} rounds")
    if not output.absolute().parent.is_dir():
        raise click.UsageError(f"--output {output}: there is no folder {output.absolute().parent}")
    task = load_task(load_task_file(find_space(task_file), overrides))
    for point in compress_task(task, recipe, seed=seed, embed_recipe=embed_recipe):
        last = point.round == (number or recipe.pruning.rounds)
        if last and point.data is not None:
            write_atomically(output, point.data)
        click.echo(
            f"round {point.round}: {point.size_bytes:,} bytes ({point.compression_ratio:.1f}x), "
            f"{task.score_text(point.val_accuracy)}, drop {point.accuracy_drop:+.4f}, sparsity {point.sparsity:.4f}"
        )
        if last:
            break
    click.echo(output)


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


@app.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .safetensors file to write.")
def decode(file: Path, output: Path) -> None:
    """Turn a .rdz file back into weights."""
    from rdsearch.compression.loading import decode as decode_network
    from rdsearch.compression.loading import save_state

    with _without("scipy"):
        state = decode_network(file).state_dict()
    save_state(state, output)
    click.echo(f"{output}: {len(state)} tensors, {sum(array.size for array in state.values()):,} values")


@app.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--levels", is_flag=True, help="Decode the weights too: how many levels each tensor has, and its zeros.")
def info(file: Path, levels: bool) -> None:
    """What is in a .rdz file, and what each part of it costs."""
    from rdsearch.report.fileinfo import file_info

    _console().print(file_info(file, levels=levels))


@app.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--max-bytes", metavar="SIZE", required=True, help="Largest size of the new file, such as 20k.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .rdz file to write.")
def truncate(file: Path, max_bytes: str, output: Path) -> None:
    """Cut a file in quality layers down to the finest network of at most this size."""
    from rdsearch.base.files import write_atomically
    from rdsearch.base.units import parse_size
    from rdsearch.compression.loading import decode as decode_network
    from rdsearch.compression.loading import truncated

    data = truncated(file, parse_size(max_bytes))
    write_atomically(output, data)
    network = decode_network(data)
    click.echo(f"{output}: {len(data):,} bytes, {network.refinement} of {network.refinements} quality layers")


@app.command()
@click.argument("space")
@click.option("--file-only", is_flag=True, help="Look at the file alone, not at the network and the data.")
@_overrides
def validate(space: str, file_only: bool, overrides: tuple[str, ...]) -> None:
    """Check a search file and its task; every mistake is shown at once.

    The task is made and tried out on what is on this machine: nothing is downloaded and nothing trained.
    """
    from rdsearch.config.ready import find_space
    from rdsearch.config.searchfile import load_search_file
    from rdsearch.search.run.cluster import available_cores

    path = find_space(space)
    file = load_search_file(path, overrides, cores=available_cores())
    task = f"{file.task.network} on {file.task.dataset}" if file.task else "a task from Python"
    click.echo(f"{path} is fine: {task}, {file.trials} trials, {len(file.space.domains)} searched parameters")
    for name, domain in file.space.parameters.items():
        click.echo(f"  {name}: {domain}")
    if file.task is not None and not file_only:
        skip = file.tree.get("recipe", {}).get("pruning", {}).get("skip", [])
        _validate_task(file.task, skip if isinstance(skip, list) else [])


def _validate_task(config: TaskConfig, skip: list[str]) -> None:
    from rdsearch.tasks.downloads import without_downloads
    from rdsearch.tasks.loading import load_task
    from rdsearch.testing import check_task, describe_task

    try:
        with without_downloads():
            task = load_task(config)
    except MissingDataError as error:
        click.echo(f"The task was not looked at: {error}")
        return
    for line in describe_task(task, skip):
        click.echo(f"  {line}")
    if problems := check_task(task, train=False):
        raise TaskError("\n  - ".join([f"the task {task.name} is not fine:", *problems]))


@app.command()
def spaces() -> None:
    """List the ready search files."""
    from rich.table import Table

    from rdsearch.config.ready import first_comment, ready_spaces

    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for name, path in ready_spaces().items():
        table.add_row(name, first_comment(path))
    _console().print(table)
    click.echo("Run one with `rdsearch search NAME`, or copy the file and change it.")


def _console() -> Console:
    from rich.console import Console

    return Console()


def _write_pictures(results: Results) -> None:
    from rdsearch.report.search import write_pictures

    write_pictures(results)


def _show_end(console: Console, results: Results) -> None:
    from rdsearch.report.search import show_end

    show_end(console, results)
