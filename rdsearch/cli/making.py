"""Commands that make a network or a file, without a search."""

from __future__ import annotations

from pathlib import Path

import click

from rdsearch.base.terminal import make_console, say
from rdsearch.cli import completion
from rdsearch.cli.output import echo, overrides, warn


@click.command()
@click.argument("task_file", metavar="TASK.yaml", shell_complete=completion.spaces)
@overrides
def train(task_file: str, overrides: tuple[str, ...]) -> None:
    """Train a task's dense network, unless the cache has it.

    Its validation accuracy and its size are shown.
    """
    from rdsearch.base.device import choose_device
    from rdsearch.compression.measure import measure_baseline
    from rdsearch.config.ready import find_space
    from rdsearch.config.searchfile import load_task_file
    from rdsearch.tasks.checks.plausibility import doubts, seen_before
    from rdsearch.tasks.loading import load_task

    task = load_task(load_task_file(find_space(task_file), overrides))
    console = make_console()
    task.dense_state(
        progress=lambda epoch: say(
            console, f"epoch {epoch.number}/{epoch.of}: loss {epoch.loss:.4f}, {epoch.seconds:.1f} s"
        )
    )
    baseline = measure_baseline(task, choose_device())
    say(console, f"{task.name}: {task.score_text(baseline.accuracy)}, {baseline.size_bytes:,} bytes")
    for note in task.notes:
        say(console, f"Note: {note}")
    for doubt in (*doubts(task, baseline.accuracy), *seen_before(task)):
        say(console, f"Warning: {doubt}", style="yellow")


@click.command()
@click.argument("task_file", metavar="TASK.yaml", shell_complete=completion.spaces)
@click.argument("recipe_file", metavar="RECIPE.yaml", shell_complete=completion.paths("file"))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .rdz file to write.")
@click.option("--round", "number", type=click.IntRange(min=1), help="Keep this round's file. [default: the last]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--embed-recipe", is_flag=True, help="Store the recipe in the file; its bytes count.")
@overrides
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
    from rdsearch.compression.kind import with_quantizer
    from rdsearch.compression.rounds import rounds
    from rdsearch.config.ready import find_space
    from rdsearch.config.searchfile import load_recipe_file, load_task_file
    from rdsearch.tasks.checks.plausibility import seen_before
    from rdsearch.tasks.loading import load_task
    from rdsearch.tasks.preprocessing import preprocessing_text

    recipe = load_recipe_file(recipe_file)
    if number is not None and number > recipe.pruning.rounds:
        raise click.UsageError(f"--round {number}: the recipe has {recipe.pruning.rounds} rounds")
    if not output.absolute().parent.is_dir():
        raise click.UsageError(f"--output {output}: there is no folder {output.absolute().parent}")
    task = load_task(load_task_file(find_space(task_file), overrides))
    for note in task.notes:
        echo(f"Note: {note}")
    for doubt in seen_before(task):
        warn(doubt)
    for point, _ in rounds(task, with_quantizer(recipe, task), seed=seed, embed_recipe=embed_recipe):
        last = point.round == (number or recipe.pruning.rounds)
        if last and point.data is not None:
            write_atomically(output, point.data)
        echo(
            f"round {point.round}: {point.size_bytes:,} bytes ({point.compression_ratio:.1f}x), "
            f"{task.score_text(point.val_accuracy)}, drop {point.accuracy_drop:+.4f}, sparsity {point.sparsity:.4f}"
        )
        if last:
            break
    echo(f"its inputs: {preprocessing_text(task.inputs)}")
    echo(output)
