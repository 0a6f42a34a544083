"""What is said of training for the file before a search begins."""

from __future__ import annotations

from rdsearch.compression.measure import Baseline
from rdsearch.compression.target import require_reachable
from rdsearch.config.space import RecipeSpace
from rdsearch.points.point import Scalar
from rdsearch.tasks.task import Task

_TRAINING = ("quantization", "training")


def require_trainable(space: RecipeSpace, task: Task, baseline: Baseline) -> None:
    """Check the sizes that files are to be trained to.

    Raises:
        QuantizationError: No file can have such a size.
    """
    if not any(_values(space, "epochs")):
        return
    require_reachable([int(value) for value in _values(space, "target_bytes") if value is not None], task, baseline)


def _values(space: RecipeSpace, key: str) -> list[float | None]:
    """The ends of a setting's range, or its one value; none where the recipe does not have it."""
    domain = space.domains.get((*_TRAINING, key))
    found: tuple[Scalar, ...] = domain.probes() if domain is not None else ()
    if domain is None:
        tree = space.fixed.get("quantization", {}).get("training", {})
        found = (tree[key],) if key in tree else ()
    return [value for value in found if value is None or isinstance(value, int | float)]
