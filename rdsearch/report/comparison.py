"""Several searches and published points beside each other: on which split, in whose colours, by which measure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rdsearch.errors import SearchError
from rdsearch.points.front import Front, hypervolume
from rdsearch.points.point import OperatingPoint
from rdsearch.points.references import Reference

Split = Literal["validation", "test"]

# After Okabe and Ito (2008), without those too faint for lines on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#8C6D1F")
MARKERS = ("o", "s", "D", "^", "v", "P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One search of a comparison.

    Attributes:
        name: What to call it.
        front: Its front.
        reference_accuracy: The accuracy that is worth nothing to it.
        scored_on: Fingerprint of its validation part; empty where that is not known.
    """

    name: str
    front: Front
    reference_accuracy: float = 0.0
    scored_on: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Fronts and published points in one plane.

    Attributes:
        contenders: The searches, one at least, by different names.
        references: Published points.
        split: What the accuracies are of: the test split where every file of every front has been tested.
    """

    contenders: Sequence[Contender]
    references: Sequence[Reference]
    split: Split

    def accuracy(self, point: OperatingPoint) -> float:
        """A point's accuracy on the split."""
        tested = self.split == "test" and point.test_accuracy is not None
        return point.test_accuracy if tested and point.test_accuracy is not None else point.val_accuracy

    def notes(self) -> list[str]:
        """What a reader has to know before believing the picture, a sentence each."""
        notes = []
        if self.split == "validation" and self.references:
            notes.append(
                "Published points are test accuracies, the searches' are validation accuracies: run `rdsearch test` "
                "for each of the searches to compare like with like."
            )
        if self.split == "validation" and len({one.scored_on for one in self.contenders}) > 1:
            notes.append("The searches were not scored on the same validation examples.")
        if len({one.front.baseline_size_bytes for one in self.contenders}) > 1:
            notes.append("The dense networks differ in size.")
        return notes

    def shares(self) -> list[float]:
        """Each search's hypervolume, as a share of that of the best file that one could put together from all of them.

        That ideal is as small as the smallest file of any front and as accurate as the most accurate one. Sizes count
        in octaves below the largest dense network, accuracies above the lowest of the searches' `reference_accuracy`.
        """
        fronts = [one.front for one in self.contenders]
        members = [point for front in fronts for point in front]
        size = max(front.baseline_size_bytes for front in fronts)
        floor = min(one.reference_accuracy for one in self.contenders)
        if not members:
            return [0.0] * len(fronts)
        smallest = min(members, key=lambda point: point.size_bytes)
        best = max(point.val_accuracy for point in members)
        ideal = hypervolume([replace(smallest, val_accuracy=best)], reference_size=size, reference_accuracy=floor)
        found = [hypervolume(front, reference_size=size, reference_accuracy=floor) for front in fronts]
        return [value / ideal if ideal > 0 else 0.0 for value in found]

    def matching(self, contender: Contender, reference: Reference) -> OperatingPoint | None:
        """A search's smallest file that is at least as accurate as a published point; ``None`` where there is none."""
        return next((point for point in contender.front if self.accuracy(point) >= reference.accuracy), None)


def compare(contenders: Iterable[Contender], references: Sequence[Reference] = ()) -> Comparison:
    """Put searches and published points side by side.

    Raises:
        SearchError: There is no search, or two have the same name.
    """
    found = list(contenders)
    if not found:
        raise SearchError("a comparison needs a search: give the folder of one that has run")
    names = [one.name for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SearchError(f"two searches are called {twice[0]!r}: give each folder once")
    if len(found) > len(COLORS):
        raise SearchError(f"{len(found)} searches in one plot cannot be told apart: give at most {len(COLORS)}")
    tested = all(point.test_accuracy is not None for one in found for point in one.front)
    return Comparison(contenders=found, references=references, split="test" if tested else "validation")
