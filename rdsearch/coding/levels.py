"""Levels and their steps, as a file holds them.

::

    levels = steps steps flags flags payload
             steps of the weights, then of the vectors; then, for each tensor of weights, whether its rows are in order;
             then, likewise, whether they are sorted in parts, which says nothing about its levels. See `steps`
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from rdsearch.coding.arrays import checked
from rdsearch.coding.container import Cursor
from rdsearch.coding.segments import decode_tensors, encode_tensors
from rdsearch.coding.steps import BitReader, BitWriter

Levels = tuple[np.ndarray, float]
"""Levels, integers within int32 of any type, and their step: the values are ``levels * step`` in float32."""
Shapes = Sequence[tuple[str, tuple[int, ...]]]
"""Names and shapes of tensors, in the order in which a file stores them."""


def encode_levels(
    tensors: Sequence[Levels],
    vectors: Collection[int],
    ordered: Collection[int] = (),
    sorted_in_parts: Collection[int] = (),
) -> bytes:
    """Steps and levels of tensors; one of zeros is written with its neighbour's step, which costs least.

    Args:
        tensors: In the order of the network.
        vectors: Indices of those that are vectors, all others being weights.
        ordered: Indices of weights whose rows may be coded as being in order, where they are (`stream.in_order`).
        sorted_in_parts: Indices of weights of which readers shall know that their rows are sorted within parts.
    """
    from rdsearch.coding.stream import in_order

    arrays = [checked(levels, index) for index, (levels, _) in enumerate(tensors)]
    ordered = {index for index in ordered if in_order(arrays[index])}
    weights = [index for index in range(len(tensors)) if index not in vectors]
    bits = BitWriter()
    for part in (weights, sorted(vectors)):
        bits.put_steps(_written_steps([tensors[index] for index in part]))
    for flagged in (ordered, set(sorted_in_parts)):
        bits.put_flags({number for number, index in enumerate(weights) if index in flagged}, len(weights))
    return bits.data() + encode_tensors(arrays, ordered)


def _written_steps(tensors: Sequence[Levels]) -> list[float]:
    used = [step if levels.any() else None for levels, step in tensors]
    before = next((step for step in used if step is not None), 0.0)
    steps = []
    for step in used:
        before = before if step is None else step
        steps.append(before)
    return steps


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the levels.

    Attributes:
        steps: Of every tensor, by its index.
        ordered: Indices of weights whose rows are in order.
        sorted_in_parts: Indices of weights whose rows are sorted within parts.
    """

    steps: dict[int, float]
    ordered: set[int]
    sorted_in_parts: set[int]


def decode_head(cursor: Cursor, shapes: Shapes, vectors: Collection[int]) -> Head:
    """Read what stands before the levels; arguments as for `decode_levels`.

    Raises:
        FileFormatError: It is cut short, or impossible.
    """
    weights = [index for index in range(len(shapes)) if index not in vectors]
    bits = BitReader(cursor)
    steps = bits.steps(len(weights), "weights") + bits.steps(len(vectors), "biases")
    ordered, in_parts = ({weights[number] for number in bits.flags(len(weights))} for _ in range(2))
    bits.finish()
    return Head(dict(zip([*weights, *sorted(vectors)], steps, strict=True)), ordered, in_parts)


def decode_levels(
    payload: bytes | memoryview, shapes: Shapes, vectors: Collection[int], wanted: Collection[str] | None = None
) -> tuple[dict[str, Levels], Head]:
    """Read what `encode_levels` wrote.

    Args:
        payload: The section.
        shapes: Of all tensors, in the order of the network.
        vectors: As when encoding.
        wanted: Names of the tensors that are read, all by default.

    Returns:
        Levels and steps by name, in the order of the network, and what stands before them.

    Raises:
        FileFormatError: The payload is damaged, or does not fit the shapes.
    """
    cursor = Cursor(payload, "the section of weights")
    head = decode_head(cursor, shapes, vectors)
    chosen = [index for index, (name, _) in enumerate(shapes) if wanted is None or name in wanted]
    arrays = decode_tensors(cursor.rest(), [shape for _, shape in shapes], head.ordered, chosen)
    named = {shapes[index][0]: (array, head.steps[index]) for index, array in zip(chosen, arrays, strict=True)}
    return named, head
