"""What is done to inputs before a network sees them, in words: who uses a file has to do the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rdsearch.tasks.splits import Split

AS_GIVEN = "as the task's own data gives them"


def preprocessing_of(split: Split) -> dict[str, Any]:
    """What is known of a split's inputs, ready for YAML: `shape`, `divided_by`, `mean`, `std`, `transform`."""
    return dict(getattr(split, "preprocessing", {}))


def preprocessing_text(inputs: Mapping[str, Any]) -> str:
    """The same in a sentence."""
    steps = []
    if inputs.get("divided_by", 1) != 1:
        steps.append(f"pixels from 0 to {inputs['divided_by']:g} divided by {inputs['divided_by']:g}")
    if "mean" in inputs:
        steps.append(f"minus mean {_numbers(inputs['mean'])}")
    if "std" in inputs:
        steps.append(f"divided by std {_numbers(inputs['std'])}")
    if "transform" in inputs:
        steps.append(f"through {' '.join(str(inputs['transform']).split())}")
    shape = f"{tuple(inputs['shape'])} an example, " if "shape" in inputs else ""
    return shape + (", ".join(steps) or AS_GIVEN)


def _numbers(value: float | Sequence[float]) -> str:
    values = value if isinstance(value, Sequence) else [value]
    return ", ".join(f"{number:.4g}" for number in values)
