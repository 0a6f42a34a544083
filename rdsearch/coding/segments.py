"""Payloads of tensors: one stream, or for large networks one a segment, which threads code side by side.

::

    payload = stream                                  of up to LARGEST_ALONE weights in all
    payload = length:varint* stream*                  of more: the bytes of each segment's stream, then the streams

A tensor of more than SEGMENT weights is cut between rows into pieces of at most as many (of one row where a row has
more), each of them a segment. Other tensors go into one segment with those before them, as far as their weights are no
more than SEGMENT together. Each segment's models start anew, so that any can be read without the others.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rdsearch.coding.arrays import is_void, narrowed
from rdsearch.coding.container import Cursor, varint
from rdsearch.coding.reading import reader_of
from rdsearch.errors import FileFormatError

LARGEST_ALONE = 1 << 22
SEGMENT = 1 << 21

Array = NDArray[np.signedinteger[Any]]
Shape = tuple[int, ...]
In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a tensor that are coded in one go; all of it where ``rows`` is ``None``."""

    tensor: int
    rows: slice | None = None


def encode_tensors(tensors: Sequence[Array], ordered: Collection[int] = ()) -> bytes:
    """Code tensors.

    Args:
        tensors: Integers within int32, of any type; a segment at a time is made C-ordered int32.
        ordered: Indices of tensors whose rows descend lexicographically in their magnitudes (`stream.in_order`).
    """
    from rdsearch.coding.stream import Encoder

    def encoded(pieces: Sequence[Piece]) -> bytes:
        encoder = Encoder()
        for piece in pieces:
            tensor = tensors[piece.tensor]
            part = tensor if piece.rows is None else tensor[piece.rows]
            # Of an array without dimensions it would make one with a single one.
            whole = np.ascontiguousarray(part, np.int32).reshape(part.shape)
            encoder.put(whole, in_order=piece.tensor in ordered)
        return encoder.finish()

    shapes = [tensor.shape for tensor in tensors]
    segments = list(_segments(shapes))
    streams = _side_by_side(encoded, segments)
    index = b"" if _alone(shapes) else b"".join(varint(len(stream)) for stream in streams)
    return index + b"".join(streams)


def decode_tensors(
    data: bytes,
    shapes: Sequence[Shape],
    ordered: Collection[int] = (),
    wanted: Collection[int] | None = None,
) -> list[Array]:
    """Read what `encode_tensors` wrote.

    Args:
        data: The payload.
        shapes: Of all tensors.
        ordered: As when encoding.
        wanted: Indices of the tensors that are returned, all by default. Segments without them are not read, and of
            others nothing behind the last of them.

    Returns:
        Each tensor in the narrowest type that holds it, see `arrays.narrowed`; one of zeros alone is a view that takes
        no memory.

    Raises:
        FileFormatError: The payload is damaged, or does not fit the shapes.
    """

    def decoded(job: tuple[bytes, Sequence[Piece]]) -> list[Array]:
        stream, pieces = job
        decoder = reader_of(stream)
        found: list[Array] = []
        last = max(number for number, piece in enumerate(pieces) if wanted is None or piece.tensor in wanted)
        for piece in pieces[: last + 1]:
            levels = decoder.get(_shape_of(piece, shapes), in_order=piece.tensor in ordered)
            found.append(levels if is_void(levels) else narrowed(levels))
        if len(found) == len(pieces):
            decoder.finish()
        return found

    if data and not any(math.prod(shape) for shape in shapes):
        raise FileFormatError(
            f"coded weights: {len(data)} bytes for tensors without weights; the payload belongs to another network"
        )
    jobs = [
        (stream, pieces)
        for stream, pieces in _streams(data, shapes)
        if wanted is None or any(piece.tensor in wanted for piece in pieces)
    ]
    found: dict[int, list[Array]] = {}
    arrays: list[Array]
    for (_, pieces), arrays in zip(jobs, _side_by_side(decoded, jobs), strict=True):
        for piece, array in zip(pieces, arrays, strict=False):
            found.setdefault(piece.tensor, []).append(array)
    return [
        _joined(found.pop(index), tuple(shape)) if index in found else np.zeros(shape, np.int32)
        for index, shape in enumerate(shapes)
        if wanted is None or index in wanted
    ]


def _streams(data: bytes, shapes: Sequence[Shape]) -> Iterator[tuple[bytes, Sequence[Piece]]]:
    """Each segment's stream, and what is in it."""
    if _alone(shapes):
        yield from ((data, pieces) for pieces in _segments(shapes))
        return
    least = sum(_pieces(shape) for shape in shapes if math.prod(shape) > SEGMENT)
    if least > len(data):
        raise FileFormatError(
            f"coded weights: {len(data)} bytes cannot hold {least} segments; the payload is truncated"
        )
    segments = list(_segments(shapes))
    cursor = Cursor(data, "the coded weights' index")
    lengths = [cursor.varint() for _ in segments]
    if sum(lengths) != cursor.left:
        raise FileFormatError(
            f"coded weights: segments of {sum(lengths)} bytes in {cursor.left}; the payload is damaged or belongs to "
            "another network"
        )
    yield from ((cursor.take(length), pieces) for length, pieces in zip(lengths, segments, strict=True))


def _alone(shapes: Sequence[Shape]) -> bool:
    return sum(map(math.prod, shapes)) <= LARGEST_ALONE


def _rows_a_piece(shape: Shape) -> int:
    return max(1, SEGMENT // math.prod(shape[1:]))


def _pieces(shape: Shape) -> int:
    return -(-shape[0] // _rows_a_piece(shape)) if len(shape) > 1 else 1


def _segments(shapes: Sequence[Shape]) -> Iterator[list[Piece]]:
    """What is in each segment, in the order of the tensors; empty tensors are in none."""
    alone = _alone(shapes)
    together: list[Piece] = []
    held = 0
    for index, shape in enumerate(shapes):
        size = math.prod(shape)
        if not size:
            continue
        if together and not alone and held + size > SEGMENT:
            yield together
            together, held = [], 0
        if alone or size <= SEGMENT or len(shape) < 2:
            together.append(Piece(index))
            held += size
            continue
        rows = _rows_a_piece(shape)
        for first in range(0, shape[0], rows):
            yield [Piece(index, slice(first, min(first + rows, shape[0])))]
    if together:
        yield together


def _shape_of(piece: Piece, shapes: Sequence[Shape]) -> Shape:
    shape = tuple(shapes[piece.tensor])
    return shape if piece.rows is None else (piece.rows.stop - piece.rows.start, *shape[1:])


def _joined(arrays: Sequence[Array], shape: Shape) -> Array:
    """Pieces of a tensor as one; a view of one zero where all are."""
    if len(arrays) == 1:
        return arrays[0]
    if all(map(_is_zeros, arrays)):
        return np.broadcast_to(np.int32(0), shape)
    whole = np.zeros(shape, np.result_type(*(array for array in arrays if not _is_zeros(array))))
    first = 0
    for array in arrays:
        if not _is_zeros(array):
            whole[first : first + len(array)] = array
        first += len(array)
    return whole


def _is_zeros(array: Array) -> bool:
    return is_void(array) or (array.size == 1 and not array.any())


def _side_by_side(work: Callable[[In], Out], jobs: Sequence[In]) -> list[Out]:
    """The results, in order; several jobs in as many threads as there are processors."""
    if len(jobs) < 2:
        return [work(job) for job in jobs]
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(min(len(jobs), processors)) as threads:
        return list(threads.map(work, jobs))
