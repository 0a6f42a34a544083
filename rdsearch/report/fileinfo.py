"""What is in a ``.rdz`` file, and what each part of it costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rdsearch.coding.arrays import is_void
from rdsearch.coding.networkfile import NetworkFile, part_sizes, prefix_ends
from rdsearch.compression.loading import decode, read_file


def file_info(path: Path) -> RenderableType:
    """Parts and their bytes, which add up to the file's size; quality layers; tensors, their steps and their zeros.

    Raises:
        FileFormatError: It is not a file that this version can read.
    """
    data = read_file(path)
    file = decode(path)
    layers: list[RenderableType] = [Text(), _layers(data)] if file.refinements > 1 else []
    return Group(_heading(path, data, file), Text(), _parts(data), *layers, Text(), _tensors(file))


def _heading(path: Path, data: bytes, file: NetworkFile) -> Text:
    count = file.layout.weight_count
    zeros = count - sum(_nonzero(levels) for levels, _ in file.weights.values())
    network = file.network_id or "not a registered one; the file lists its tensors"
    sparsity = zeros / count if count else 0.0
    layers = f"quality layers: {file.refinement} of {file.refinements}\n" if file.refinements > 1 else ""
    order = f"channels in the cheapest order: rows of {', '.join(file.ordered)}\n" if file.ordered else ""
    return Text(
        f"{path}: {len(data):,} bytes\nnetwork: {network}\n{layers}{order}"
        f"weights: {count:,}, sparsity {sparsity:.4f}, {8 * len(data) / max(count, 1):.3f} bits of file a weight"
    )


def _parts(data: bytes) -> Table:
    table = _table("part", "bytes", "share")
    for name, size in part_sizes(data).items():
        table.add_row(name, f"{size:,}", f"{size / len(data):.1%}")
    table.add_section()
    table.add_row("file", f"{len(data):,}", "100.0%")
    return table


def _layers(data: bytes) -> Table:
    """What a prefix of the file costs, layer after layer."""
    table = _table("layer", "bytes", "up to its end", "share")
    before = 0
    for number, end in enumerate(prefix_ends(data), start=1):
        table.add_row(str(number), f"{end - before:,}", f"{end:,}", f"{end / len(data):.1%}")
        before = end
    return table


def _tensors(file: NetworkFile) -> Table:
    table = _table("weights", "shape", "step", "levels", "non-zero")
    for name, (levels, step) in file.weights.items():
        shape = "×".join(map(str, levels.shape))
        share = _nonzero(levels) / levels.size if levels.size else 0.0
        distinct = 1 if is_void(levels) else len(np.unique(levels))
        table.add_row(name, shape, f"{step:.4g}", str(distinct), f"{share:.2%}")
    return table


def _nonzero(levels: np.ndarray) -> int:
    return 0 if is_void(levels) else int(np.count_nonzero(levels))


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=index > 0)
    return table
