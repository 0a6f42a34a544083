"""Levels and their steps, as a file holds them.

::

    levels = flags step* step* payload     steps of the weights, one or one each; then of the vectors, one or one each
    flags  = bits, seven a byte, the lowest first, the top bit set on every byte but the last:
             weights have steps of their own; vectors have; vectors are behind their tensors;
             then, for each tensor of weights: its rows are in order;
             then, for each tensor of weights: its rows are sorted in parts, which says nothing about its levels
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rdsearch.coding.arrays import checked
from rdsearch.coding.container import Cursor, varint
from rdsearch.coding.segments import decode_tensors, encode_tensors
from rdsearch.errors import FileFormatError

Levels = tuple[np.ndarray, float]
"""Levels, integers within int32 of any type, and their step: the values are ``levels * step`` in float32."""
Shapes = Sequence[tuple[str, tuple[int, ...]]]
"""Names and shapes of tensors, in the order in which a file stores them."""

_OWN_WEIGHT_STEPS, _OWN_VECTOR_STEPS, _BEHIND, _FIRST_ORDERED = range(4)
_MOST_TRIED = 1 << 20
"""Weights up to which both places of the vectors are tried; beyond, vectors hardly count."""


def shared_step(steps: Sequence[float]) -> bool:
    """Whether one step will do for all."""
    return len(set(_bits(steps).tolist())) <= 1


def encode_steps(steps: Sequence[float]) -> bytes:
    """Steps, two bytes each; one where all are the same."""
    bits = _bits(steps)
    return (bits[:1] if shared_step(steps) else bits).astype("<u2").tobytes()


def decode_steps(cursor: Cursor, count: int, what: str, *, shared: bool) -> list[float]:
    """Read the steps of ``count`` tensors.

    Raises:
        FileFormatError: They are cut short, or impossible.
    """
    stored = min(1, count) if shared else count
    bits = np.frombuffer(cursor.take(2 * stored), "<u2").astype(np.uint32) << 16
    steps = bits.view(np.float32)
    if not np.isfinite(steps).all() or (steps < 0).any():
        raise FileFormatError(f"{what} have an impossible step; the file is damaged")
    return [float(step) for step in (steps.repeat(count) if shared else steps)]


def _bits(steps: Sequence[float]) -> np.ndarray:
    return np.array(steps, np.float32).view(np.uint32) >> 16


def encode_flags(flags: Iterable[int]) -> bytes:
    """Numbers of bits that are set, seven bits a byte."""
    return varint(sum(1 << flag for flag in set(flags)))


def decode_flags(cursor: Cursor, count: int) -> set[int]:
    """Read the numbers of the bits that are set, of at most ``count``.

    Raises:
        FileFormatError: There are more.
    """
    flags: set[int] = set()
    for first in range(0, count, 7):
        byte = cursor.byte()
        flags |= {first + bit for bit in range(7) if byte >> bit & 1}
        if byte < 0x80:
            break
    else:
        raise FileFormatError(f"the file has more than {count} flags; it is damaged or belongs to another network")
    if any(flag >= count for flag in flags):
        raise FileFormatError(f"the file has more than {count} flags; it is damaged or belongs to another network")
    return flags


def encode_levels(
    tensors: Sequence[Levels],
    vectors: Collection[int],
    ordered: Collection[int] = (),
    sorted_in_parts: Collection[int] = (),
) -> bytes:
    """Steps and levels of tensors.

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
    steps = [[tensors[index][1] for index in part] for part in (weights, sorted(vectors))]
    flags = {_FIRST_ORDERED + number for number, index in enumerate(weights) if index in ordered}
    flags |= {
        _FIRST_ORDERED + len(weights) + number for number, index in enumerate(weights) if index in sorted_in_parts
    }
    flags |= {flag for flag, part in enumerate(steps) if not shared_step(part)}
    behind = encode_tensors(arrays, ordered)
    payload = behind
    if not weights or sum(arrays[index].size for index in weights) <= _MOST_TRIED:
        order = [*weights, *sorted(vectors)]
        places = {place for place, index in enumerate(order) if index in ordered}
        payload = min(encode_tensors([arrays[index] for index in order], places, len(weights)), behind, key=len)
    if payload is behind:
        flags.add(_BEHIND)
    return encode_flags(flags) + b"".join(map(encode_steps, steps)) + payload


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the levels.

    Attributes:
        steps: Of every tensor, by its index.
        ordered: Indices of weights whose rows are in order.
        sorted_in_parts: Indices of weights whose rows are sorted within parts.
        order: Indices of the tensors in the order in which they are coded.
        anew: Place in that order at which the model starts anew; `None` for nowhere.
    """

    steps: dict[int, float]
    ordered: set[int]
    sorted_in_parts: set[int]
    order: list[int]
    anew: int | None


def decode_head(cursor: Cursor, shapes: Shapes, vectors: Collection[int]) -> Head:
    """Read what stands before the levels; arguments as for `decode_levels`.

    Raises:
        FileFormatError: It is cut short, or impossible.
    """
    weights = [index for index in range(len(shapes)) if index not in vectors]
    order = [*weights, *sorted(vectors)]
    flags = decode_flags(cursor, _FIRST_ORDERED + 2 * len(weights))
    weight_steps = decode_steps(cursor, len(weights), "weights", shared=_OWN_WEIGHT_STEPS not in flags)
    vector_steps = decode_steps(cursor, len(vectors), "biases", shared=_OWN_VECTOR_STEPS not in flags)
    steps = dict(zip(order, weight_steps + vector_steps, strict=True))
    ordered, in_parts = (
        {index for number, index in enumerate(weights) if first + number in flags}
        for first in (_FIRST_ORDERED, _FIRST_ORDERED + len(weights))
    )
    behind = _BEHIND in flags
    return Head(steps, ordered, in_parts, sorted(order) if behind else order, None if behind else len(weights))


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
    chosen = {place for place, index in enumerate(head.order) if wanted is None or shapes[index][0] in wanted}
    arrays = decode_tensors(
        cursor.rest(),
        [shapes[index][1] for index in head.order],
        {place for place, index in enumerate(head.order) if index in head.ordered},
        head.anew,
        chosen,
    )
    found = dict(zip([head.order[place] for place in sorted(chosen)], arrays, strict=True))
    named = {shapes[index][0]: (found[index], head.steps[index]) for index in sorted(found)}
    return named, head
