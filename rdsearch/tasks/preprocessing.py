"""What is done to inputs before a network sees them, in words: who uses a file has to do the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rdsearch.tasks.splits import Split

AS_GIVEN = "as the task's own data gives them"


def preprocessing_of(split: Split) -> dict[str, Any]:
    """What is known of a split's inputs, ready for YAML.

    Keys are `shape`, `resize`, `divided_by`, `mean`, `std` and `transform`.
    """
    return dict(getattr(split, "preprocessing", {}))


def preprocessing_text(inputs: Mapping[str, Any]) -> str:
    """The same in a sentence."""
    steps = [_sizing(inputs["resize"])] if "resize" in inputs else []
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


def _sizing(how: Mapping[str, Any]) -> str:
    if "fit" in how:
        return f"the middle square scaled to {how['fit']} pixels a side"
    where = (
        f"scaled to {how['shorter']} pixels at the shorter side"
        if "shorter" in how
        else f"stretched to {how['stretch'][0]} x {how['stretch'][1]} pixels"
    )
    cut = f", the middle {how['crop'][0]} x {how['crop'][1]} cut out" if "crop" in how else ""
    return f"{where} ({how['resample']}){cut}"


def _numbers(value: float | Sequence[float]) -> str:
    values = value if isinstance(value, Sequence) else [value]
    return ", ".join(f"{number:.4g}" for number in values)
