"""What is said of sizes asked for before a search begins."""

from __future__ import annotations

from rdsearch.compression.measure import Baseline
from rdsearch.compression.target import PACKED, TRAINED, require_reachable
from rdsearch.config.space import RecipeSpace
from rdsearch.points.point import Scalar
from rdsearch.tasks.task import Task

TARGET = "target_bytes"


def require_sizes(space: RecipeSpace, task: Task, baseline: Baseline) -> None:
    """Check the sizes that files are to be trained to, or that steps are looked for.

    Raises:
        QuantizationError: No file can have such a size.
    """
    trained = _values(space, "quantization", "training", TARGET)
    if any(_values(space, "quantization", "training", "epochs")):
        require_reachable(TRAINED, [int(value) for value in trained if value is not None], task, baseline)
    packed = _values(space, "quantization", TARGET)
    require_reachable(PACKED, [int(value) for value in packed if value is not None], task, baseline)


def _values(space: RecipeSpace, *address: str) -> list[float | None]:
    """The ends of a setting's range, or its one value; none where the recipe does not have it."""
    domain = space.domains.get(address)
    found: tuple[Scalar, ...] = domain.probes() if domain is not None else ()
    if domain is None:
        *parts, key = address
        tree = space.fixed
        for part in parts:
            tree = tree.get(part, {})
        found = (tree[key],) if key in tree else ()
    return [value for value in found if value is None or isinstance(value, int | float)]
