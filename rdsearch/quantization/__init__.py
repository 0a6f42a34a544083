"""Which values the surviving weights take: steps, levels, and batch normalisation matched to them.

A method chooses the levels; each is one file behind the signature of `method.Method`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdsearch.base.registry import Registry

if TYPE_CHECKING:
    from rdsearch.quantization.method import Method

METHODS: Registry[Method] = Registry(
    "quantization method",
    {
        "uniform": "rdsearch.quantization.methods.rounding:uniform",
        "rate_aware": "rdsearch.quantization.methods.rate_aware:rate_aware",
        "hessian": "rdsearch.quantization.methods.hessian:hessian",
        "sequential": "rdsearch.quantization.methods.sequential:sequential",
    },
    group="rdsearch.quantization",
)

LOOK_AT_INPUTS = frozenset({"hessian", "sequential"})
"""Methods that look at the inputs of layers."""


def needs_calibration(method: str) -> bool:
    """Whether a method looks at calibration inputs; one of another package gets them."""
    return method in LOOK_AT_INPUTS or not METHODS.is_own(method)
