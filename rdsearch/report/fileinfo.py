"""What is in a ``.rdz`` file, and what each part of it costs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rdsearch.base.terminal import printable
from rdsearch.coding.arrays import is_void
from rdsearch.coding.networkfile import NetworkFile, Summary, prefix_ends
from rdsearch.compression.loading import decode, read_file, summary
from rdsearch.config.yamlfile import read_yaml
from rdsearch.tasks.preprocessing import preprocessing_text

SHIPPED = {"network.rdz": "recipe.yaml"}
"""Name of a file in a folder of `rdsearch ship` to that of its recipe; elsewhere a recipe bears its file's name."""


def file_info(path: Path, *, levels: bool = False) -> RenderableType:
    """Parts and their bytes, which add up to the file's size; quality layers; tensors and their steps.

    Args:
        path: The file.
        levels: Decode it, and show how many levels each tensor has, and its zeros.

    Raises:
        FileFormatError: It is not a file that this version can read.
    """
    file = summary(path)
    size = sum(file.parts.values())
    decoded = decode(path) if levels else None
    layers: list[RenderableType] = [Text(), _layers(read_file(path))] if file.refinements > 1 else []
    heading = _heading(path, size, file, decoded)
    return Group(heading, Text(), _parts(size, file), *layers, Text(), _tensors(file, decoded))


def _heading(path: Path, size: int, file: Summary, decoded: NetworkFile | None) -> Text:
    count = file.layout.weight_count
    network = printable(file.network_id or "") or "not a registered one; the file lists its tensors"
    layers = f"quality layers: {file.refinement} of {file.refinements}\n" if file.refinements > 1 else ""
    order = "".join(
        f"channels in the cheapest order: {what} {printable(', '.join(names))}\n"
        for what, names in (("rows of", file.ordered), ("heads or units of", file.sorted_in_parts))
        if names
    )
    sparsity = ""
    if decoded is not None:
        zeros = count - sum(_nonzero(levels) for levels, _ in decoded.weights.values())
        sparsity = f"sparsity {zeros / max(count, 1):.4f}, "
    return Text(
        f"{printable(str(path))}: {size:,} bytes\nnetwork: {network}\n{layers}{order}"
        f"weights: {count:,}, {sparsity}{8 * size / max(count, 1):.3f} bits of file a weight\n"
        f"inputs: {_inputs(path)}"
    )


def _inputs(path: Path) -> str:
    """What has to be done to inputs, as the recipe in the file's folder has it."""
    beside = path.with_name(SHIPPED[path.name]) if path.name in SHIPPED else path.with_suffix(".recipe.yaml")
    if not beside.is_file():
        return f"not known, since there is no {printable(beside.name)} in its folder"
    inputs = read_yaml(beside).get("inputs")
    if not isinstance(inputs, Mapping):
        return f"not known, since {printable(beside.name)} does not tell them"
    return printable(preprocessing_text(inputs))


def _parts(whole: int, file: Summary) -> Table:
    table = _table("part", "bytes", "share")
    for name, size in file.parts.items():
        table.add_row(name, f"{size:,}", f"{size / whole:.1%}")
    table.add_section()
    table.add_row("file", f"{whole:,}", "100.0%")
    return table


def _layers(data: bytes) -> Table:
    """What a prefix of the file costs, layer after layer."""
    table = _table("layer", "bytes", "up to its end", "share")
    before = 0
    for number, end in enumerate(prefix_ends(data), start=1):
        table.add_row(str(number), f"{end - before:,}", f"{end:,}", f"{end / len(data):.1%}")
        before = end
    return table


def _tensors(file: Summary, decoded: NetworkFile | None) -> Table:
    table = _table("weights", "shape", "step", *(("levels", "non-zero") if decoded is not None else ()))
    for entry in file.layout.of("weight"):
        shape = "×".join(map(str, entry.shape))
        found = _found(decoded.weights[entry.name][0]) if decoded is not None else ()
        table.add_row(Text(printable(entry.name)), shape, f"{file.steps[entry.name]:.4g}", *found)
    return table


def _found(levels: np.ndarray) -> tuple[str, str]:
    share = _nonzero(levels) / levels.size if levels.size else 0.0
    return str(1 if is_void(levels) else len(np.unique(levels))), f"{share:.2%}"


def _nonzero(levels: np.ndarray) -> int:
    return 0 if is_void(levels) else int(np.count_nonzero(levels))


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=index > 0)
    return table
