"""How levels become bytes: the entropy coder of whole-number arrays, and the ``.rdz`` file around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rdsearch.coding.arrays import decode_arrays, encode_arrays

__all__ = ["decode_arrays", "encode_arrays"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from rdsearch.coding import arrays

        return getattr(arrays, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
