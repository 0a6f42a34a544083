"""Fronts in results/ beside published sizes: ``python -m benchmarks.published [--plot docs/images/published.png]``.

Test error of each file of a front, and of each row of ``tables/published.csv`` for the same network and data.
A row is dominated where a file is no larger and errs no more often.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import rdsearch
from rdsearch.report.axes import size_ticks, tick_label
from rdsearch.search.store.folder import SearchFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TABLE = Path(__file__).parent / "tables" / "published.csv"
RESULTS = Path(__file__).parent.parent / "results"
FRONTS = {"LeNet-5-Caffe, MNIST": "mnist_lenet5", "LeNet-300-100, MNIST": "mnist_lenet300"}
FARTHEST = 30_000
"""Bytes up to which the plot goes: Deep Compression's LeNet-5 has 44 kB."""


@dataclass(frozen=True)
class Published:
    """A size that a paper reports: error as a share of the test images."""

    network: str
    data: str
    method: str
    size_bytes: int
    test_error: float
    source: str


@dataclass(frozen=True)
class File:
    """One file of a front: errors as shares of the validation and test images."""

    size_bytes: int
    val_error: float
    test_error: float


def published(network: str, data: str) -> list[Published]:
    """The rows of one network, smallest first."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = [
            Published(
                row["network"],
                row["data"],
                row["method"],
                int(row["size_bytes"]),
                float(row["test_error"]),
                row["source"],
            )
            for row in csv.DictReader(file)
        ]
    return sorted((row for row in rows if (row.network, row.data) == (network, data)), key=lambda row: row.size_bytes)


def files(name: str) -> tuple[list[File], list[Published]]:
    """A front's files that have been tested, and what is published for its network."""
    folder = RESULTS / name
    task = SearchFolder.open(folder).search_file().task
    if task is None:
        raise SystemExit(f"{folder}: a search of Python objects has no published rows beside it")
    found = [
        File(point.size_bytes, 1 - point.val_accuracy, 1 - point.test_accuracy)
        for point in rdsearch.load_front(folder)
        if point.test_accuracy is not None
    ]
    return found, published(str(task.network), str(task.dataset))


def better(row: Published, ours: list[File]) -> File | None:
    """The smallest file that dominates a published row."""
    return next(
        (file for file in ours if file.size_bytes <= row.size_bytes and file.test_error <= row.test_error), None
    )


def draw(axes: Axes, title: str, ours: list[File], rows: list[Published]) -> None:
    """Test error over bytes, the published rows named."""
    axes.plot(
        [file.size_bytes for file in ours],
        [100 * file.test_error for file in ours],
        marker="o",
        markersize=4.5,
        linewidth=1,
        label="files in results/",
    )
    shown = [row for row in rows if row.size_bytes <= FARTHEST]
    axes.scatter(
        [row.size_bytes for row in shown],
        [100 * row.test_error for row in shown],
        marker="x",
        color="tab:red",
        label="published",
        zorder=3,
    )
    sizes = [row.size_bytes for row in (*ours, *shown)]
    low, high = min(sizes) / 1.2, max(sizes) * 1.2
    for number, row in enumerate(shown):
        place = (row.size_bytes, 100 * row.test_error)
        late = row.size_bytes > low * (high / low) ** 0.7
        offset = (-6 if late else 6, 5 if number % 2 else -11)
        side = "right" if late else "left"
        axes.annotate(row.method, place, textcoords="offset points", xytext=offset, ha=side, fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    ticks = size_ticks(low, high)
    axes.set_xticks(ticks, [tick_label(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("size of the file")
    axes.set_ylabel("test error, %")
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(alpha=0.25, linewidth=0.6, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def main() -> None:
    """Print the tables and draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the fronts as well")
    arguments = parser.parse_args()
    found = {title: files(name) for title, name in FRONTS.items()}
    for title, (ours, rows) in found.items():
        print(f"{title}\n{'bytes':>8}{'validation error':>20}{'test error':>14}")
        for file in ours:
            print(f"{file.size_bytes:8,}{file.val_error:20.2%}{file.test_error:14.2%}")
        for row in rows:
            first = better(row, ours)
            beside = f"dominated by {first.size_bytes:,} B, {first.test_error:.2%}" if first else "not dominated"
            print(f"{row.size_bytes:8,}{row.test_error:34.2%}  {row.method}: {beside}")
        print()
    if arguments.plot is not None:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt

        figure, panels = plt.subplots(1, len(found), figsize=(5 * len(found), 4), dpi=160, layout="constrained")
        for axes, (title, (ours, rows)) in zip(panels, found.items(), strict=True):
            draw(axes, title, ours, rows)
        figure.savefig(arguments.plot)


if __name__ == "__main__":
    main()
