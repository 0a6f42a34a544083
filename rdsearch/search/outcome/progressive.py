"""What the quality layers of the front's files do: every prefix decoded and scored on the validation part."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rdsearch.base.device import choose_device
from rdsearch.coding.networkfile import prefix_ends
from rdsearch.compression.measure import Baseline, measure
from rdsearch.errors import SearchError
from rdsearch.points.columns import FIGURES
from rdsearch.points.front import pareto
from rdsearch.points.point import OperatingPoint
from rdsearch.search.outcome.results import Results, file_of
from rdsearch.search.task import searched_task
from rdsearch.tasks.task import Task


@dataclass(frozen=True)
class ProgressivePoint:
    """One prefix of a file on the front.

    Attributes:
        number: The front's point whose file it is a prefix of, counted from 1 at the smallest file.
        quality_layer: Quality layers in the prefix.
        quality_layers: Quality layers in the file.
        figures: Size and accuracy of the prefix; its path is the whole file's.
        best: Whether no file or prefix beats it in both.
    """

    number: int
    quality_layer: int
    quality_layers: int
    figures: OperatingPoint
    best: bool = False


def progressive_points(results: Results, *, task: Task | None = None) -> list[ProgressivePoint]:
    """Every layer of every file on a search's front, by file and layer.

    A prefix is decoded and scored on the validation part once; what was found is kept in the search's folder, in
    ``quality_layers.json``. The search's points and its front stay as they are.

    Args:
        results: The search.
        task: The task, when it is not the one that the search file names.

    Raises:
        SearchError: The task has changed since the search, or a file is not there.
    """
    known = results.folder.read_quality_layers()
    scorer = _Scorer(results, task)
    found = []
    for number, point in enumerate(results.front, start=1):
        data = file_of(point).read_bytes()
        *coarser, _ = ends = prefix_ends(data)
        for layer, end in enumerate(coarser, start=1):
            key = hashlib.sha256(data[:end]).hexdigest()
            if key not in known:
                known[key] = scorer.figures(point, data[:end])
                results.folder.write_quality_layers(known)
            found.append(ProgressivePoint(number, layer, len(ends), replace(point, **known[key], test_accuracy=None)))
        found.append(ProgressivePoint(number, len(ends), len(ends), point))
    return list(_marked(found))


class _Scorer:
    """Scores prefixes; makes the task when the first one is to be scored."""

    def __init__(self, results: Results, task: Task | None) -> None:
        self._results = results
        self._task = task
        figures = results.manifest["baseline"]
        self._baseline = Baseline(figures["val_accuracy"], figures["size_bytes"])

    def figures(self, point: OperatingPoint, data: bytes) -> dict[str, float]:
        """The figures of an operating point that depend on the file."""
        task = self._checked_task()
        found = measure(task, data, self._baseline, choose_device())
        return {name: getattr(found, name) for name in FIGURES}

    def _checked_task(self) -> Task:
        self._task = searched_task(self._results.folder, self._task)
        if self._task.fingerprint != self._results.manifest["task_fingerprint"]:
            raise SearchError(
                "the task has changed since the search: its data, dense weights or validation part differ"
            )
        return self._task.for_search()


def _marked(points: list[ProgressivePoint]) -> Iterator[ProgressivePoint]:
    best = {(point.size_bytes, point.val_accuracy) for point in pareto(point.figures for point in points)}
    for point in points:
        yield replace(point, best=(point.figures.size_bytes, point.figures.val_accuracy) in best)
