"""The command that begins: from a network and its data to a search file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rdsearch.base.terminal import make_console
from rdsearch.cli import completion
from rdsearch.cli.output import echo, share, warn


@click.command()
@click.argument("network")
@click.argument("dataset", shell_complete=completion.paths("file"))
@click.option("-o", "--output", type=click.Path(path_type=Path), default="search.yaml", show_default=True)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Trained weights: .safetensors, .pt, .pth or .th.")
@click.option(
    "--max-drop", callback=share, metavar="SHARE", help="Largest accuracy drop that you accept. [default: 0.05]"
)
@click.option("--trials", type=click.IntRange(min=1), default=40, show_default=True, help="Number of recipes to try.")
@click.option("--rounds", is_flag=True, help="Prune in rounds, with a budget for each group of layers.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Another setting of the task, such as task.root=data."
)
def init(
    network: str,
    dataset: str,
    output: Path,
    checkpoint: Path | None,
    max_drop: float | None,
    trials: int,
    rounds: bool,
    settings: tuple[str, ...],
) -> None:
    """Write a search file for a network and its data.

    NETWORK and DATASET are registered names, torchvision:NAME, a folder that transformers saved a network in, a path of
    data, or functions of yours as package.module:function. The search is one over the sizes that files are trained for;
    where the network cannot be trained, over pruning and steps. A round is tried out on a few examples and timed; the
    dense network is not trained.
    """
    from rdsearch.base.files import write_atomically
    from rdsearch.base.voice import phase

    if output.exists():
        raise click.UsageError(f"--output {output}: it is there already; give another, or remove it")
    if not output.absolute().parent.is_dir():
        raise click.UsageError(f"--output {output}: there is no folder {output.absolute().parent}")
    console = make_console()
    with phase(console, "loading torch and Optuna"):
        from rdsearch.search.proposal import propose
    found = propose(
        _task(network, dataset, checkpoint, settings),
        name=output.stem,
        max_drop=max_drop,
        trials=trials,
        rounds=rounds,
        console=console,
    )
    for line in found.described:
        echo(f"  {line}")
    for doubt in found.doubts:
        warn(doubt)
    for line in found.outlook.lines():
        echo(f"  {line}")
    write_atomically(output, found.text)
    echo(f"{output}: {found.outlook.summary}, and less where trials end early")
    echo(f"Look it over, then `rdsearch search {output}`.")


def _task(network: str, dataset: str, checkpoint: Path | None, settings: tuple[str, ...]) -> dict[str, Any]:
    """The ``task:`` part of the file."""
    from rdsearch.config.yamlfile import apply_override

    tree: dict[str, Any] = {"task": {"network": network, "dataset": dataset}}
    if checkpoint is not None:
        tree["task"]["checkpoint"] = str(checkpoint)
    for setting in settings:
        if not setting.startswith("task."):
            raise click.UsageError(f"--set {setting}: here it sets the task alone (task.root=data); edit the file")
        apply_override(tree, setting)
    task: dict[str, Any] = tree["task"]
    return task
