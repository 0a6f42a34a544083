"""The front of an earlier search as the first trials of a new one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rdsearch.config.space import RecipeSpace
from rdsearch.points.point import OperatingPoint, Scalar
from rdsearch.search.outcome.results import read_results

_BUDGETS = "pruning.budgets."


@dataclass(frozen=True)
class WarmStart:
    """What a new search takes over.

    Attributes:
        source: The earlier search's folder.
        proposals: Parameters to try first, in the order of the earlier front.
        skipped: A line for each of its trials that the new space does not hold.
    """

    source: str
    proposals: list[dict[str, Scalar]]
    skipped: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def warm_start(directory: str | Path, space: RecipeSpace) -> WarmStart:
    """The recipes of the trials that hold an earlier search's front, as far as they lie in a new search's space.

    Only what the new space searches is taken over, from the earlier recipe's values whether searched there or fixed;
    everything else is as the new space has it. A budget that the earlier recipe did not have is 1. The recipes are
    evaluated again: neither their files nor their figures are taken over.

    Args:
        directory: The earlier search's folder.
        space: The new search's space.

    Raises:
        SearchError: There is no search in the folder, or it has not begun.
    """
    results = read_results(directory)
    earlier = results.folder.search_file().space
    proposals: list[dict[str, Scalar]] = []
    skipped: dict[str, None] = {}
    for point in results.front:
        settings = earlier.recipe(point.parameters).flat()
        values = {name: settings.get(name, 1.0 if name.startswith(_BUDGETS) else None) for name in space.parameters}
        misfits = [name for name, domain in space.parameters.items() if values[name] not in domain]
        if misfits:
            skipped[_why(point, misfits[0], values[misfits[0]], space)] = None
        elif values not in proposals:
            proposals.append(values)
    return WarmStart(str(results.folder.path), proposals, list(skipped))


def _why(point: OperatingPoint, name: str, value: Scalar, space: RecipeSpace) -> str:
    return f"trial {point.trial} is left out: its {name} is {value}, and here it is {space.parameters[name]}"
