"""Quality layers of a file: weights, biases and normalisation, coarse first, each layer a section of its own.

::

    layer   = size:varint first? shift:varint length:varint cells weights vectors
    first   = layers:varint steps of the weights (`steps`)   in the first layer alone
    cells   = dead widths, widths and points of the weights' cells (`cells`), of `length` bytes; 0 in the last layer
    vectors = steps? levels                               of `size` bytes; steps in the first layer alone

`weights` says in which cells the weights' levels lie. `vectors` are the layer's own biases and normalisation, in
``2^shift`` steps, as differences from the layer before.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rdsearch.coding.arrays import decode_arrays, encode_arrays
from rdsearch.coding.cells import FINEST, OFFSET_UNIT, Cells
from rdsearch.coding.container import Cursor, varint
from rdsearch.coding.levels import Levels, Shapes
from rdsearch.coding.steps import BitReader, BitWriter
from rdsearch.errors import FileFormatError

MAX_REFINEMENTS = 64
MAX_SHIFT = 16
_LARGEST = int(np.iinfo(np.int32).max)


@dataclass(frozen=True)
class Refinement:
    """What a layer says beside the cells of every weight.

    Attributes:
        cells: How finely the levels of each tensor of weights are known.
        offsets: For each of these tensors, the point of a cell at which its weights are reconstructed, in parts
            (`cells.OFFSET_UNIT`) of a step above the cell's least magnitude.
        shift: Biases and normalisation are in ``2**shift`` of the last layer's steps.
        vectors: Their levels, in the file's order.
    """

    cells: Sequence[Cells]
    offsets: Sequence[int]
    shift: int
    vectors: Sequence[np.ndarray]


@dataclass(frozen=True)
class ProgressiveLevels:
    """What the layers of a file say.

    Attributes:
        weights: Levels of every weight by name, as the last layer that is there says.
        vectors: Levels of every bias and normalisation by name, likewise.
        written: Layers that the file was written with.
    """

    weights: dict[str, Levels]
    vectors: dict[str, Levels]
    written: int


def encode_progressive(
    weights: Sequence[Levels], vectors: Sequence[Levels], coarser: Sequence[Refinement]
) -> list[bytes]:
    """One payload a layer: those of ``coarser``, then the last one with every level as it is."""
    from rdsearch.coding.refinement import encode_differences, encode_refinements

    layers = [*coarser, _finest(weights, vectors)]
    coded = encode_refinements([levels for levels, _ in weights], [layer.cells for layer in layers])
    payloads = []
    differences = [_differences(*pair) for pair in zip([None, *layers], layers, strict=False)]
    for layer, cells, levels in zip(layers, coded, encode_differences(differences), strict=True):
        head, tail = b"", levels
        if layer is layers[0]:
            head = varint(len(layers)) + _encode_steps([step for _, step in weights])
            tail = _encode_steps([step for _, step in vectors]) + levels
        known = _encode_cells(layer) if layer is not layers[-1] else b""
        payloads.append(varint(len(tail)) + head + varint(layer.shift) + varint(len(known)) + known + cells + tail)
    return payloads


def _encode_steps(steps: Sequence[float]) -> bytes:
    bits = BitWriter()
    bits.put_steps(steps)
    return bits.data()


def _steps(cursor: Cursor, count: int, what: str) -> list[float]:
    bits = BitReader(cursor)
    steps = bits.steps(count, what)
    bits.finish()
    return steps


def _finest(weights: Sequence[Levels], vectors: Sequence[Levels]) -> Refinement:
    return Refinement([FINEST] * len(weights), [0] * len(weights), 0, [levels for levels, _ in vectors])


def _encode_cells(layer: Refinement) -> bytes:
    rows = [[cells.dead for cells in layer.cells], [cells.width for cells in layer.cells], layer.offsets]
    return encode_arrays([np.array(rows, np.int32)])


def _decode_cells(payload: bytes, count: int, what: str) -> tuple[list[Cells], list[int]]:
    rows = decode_arrays(payload, [(3, count)])[0].tolist()
    for dead, width, offset in zip(*rows, strict=True):
        if dead < 1 or width < 1 or not 0 <= offset < OFFSET_UNIT * width:
            raise FileFormatError(
                f"{what} has cells of {width} from {dead} with points at {offset}/{OFFSET_UNIT}, which is impossible; "
                "the file is damaged"
            )
    return [Cells(dead, width) for dead, width in zip(rows[0], rows[1], strict=True)], rows[2]


def _differences(before: Refinement | None, layer: Refinement) -> list[np.ndarray]:
    if before is None:
        return list(layer.vectors)
    shift = before.shift - layer.shift
    return [np.asarray(new - (old << shift)) for old, new in zip(before.vectors, layer.vectors, strict=True)]


def decode_progressive(payloads: Sequence[bytes | memoryview], weights: Shapes, vectors: Shapes) -> ProgressiveLevels:
    """Read the layers that are there, one or more.

    Raises:
        FileFormatError: A layer is damaged, or does not follow the one before it.
    """
    from rdsearch.coding.refinement import decode_refinements

    start, layers = _split(payloads, len(weights), len(vectors))
    last = layers[-1]
    cells = decode_refinements(
        [layer.weights for layer in layers], [shape for _, shape in weights], [layer.cells for layer in layers]
    )
    complete = len(layers) == start.layers
    levels = cells if complete else [c.levels(a, o) for c, a, o in zip(last.cells, cells, last.offsets, strict=True)]
    unit = 1 if complete else OFFSET_UNIT
    return ProgressiveLevels(
        weights=_named(weights, levels, [step / unit for step in start.weight_steps]),
        vectors=_named(vectors, _vectors(layers, vectors), [step * 2**last.shift for step in start.vector_steps]),
        written=start.layers,
    )


def weight_steps(payloads: Sequence[bytes | memoryview], weights: int) -> tuple[int, list[float]]:
    """Layers that the file was written with, and the weights' steps in the last layer that is there.

    Raises:
        FileFormatError: The first layer is cut short, or impossible.
    """
    cursor = Cursor(_halves(payloads[0], "quality layer 1")[0], "quality layer 1")
    count = _written(cursor.varint(), len(payloads))
    unit = 1 if len(payloads) == count else OFFSET_UNIT
    return count, [step / unit for step in _steps(cursor, weights, "weights")]


def _written(count: int, found: int) -> int:
    """Layers that the file was written with, once it is known that they may be."""
    if not found <= count <= MAX_REFINEMENTS:
        raise FileFormatError(
            f"the file has {found} quality layers and says that it was written with {count}, of at most "
            f"{MAX_REFINEMENTS}; it is spliced or damaged"
        )
    return count


def refinement_parts(payload: bytes | memoryview) -> tuple[int, int]:
    """Bytes of a layer that are for weights, and for biases and normalisation.

    Raises:
        FileFormatError: The layer is cut short.
    """
    _, tail = _halves(payload, "a quality layer")
    return len(payload) - len(tail), len(tail)


@dataclass(frozen=True)
class _Start:
    """What only the first layer says."""

    layers: int
    weight_steps: list[float]
    vector_steps: list[float]


@dataclass(frozen=True)
class _Coded:
    """A layer, its payloads still coded."""

    cells: Sequence[Cells]
    offsets: Sequence[int]
    shift: int
    weights: bytes
    vectors: bytes


def _split(payloads: Sequence[bytes | memoryview], weights: int, vectors: int) -> tuple[_Start, list[_Coded]]:
    halves = [_halves(payload, f"quality layer {number}") for number, payload in enumerate(payloads, 1)]
    cursor, tail = (Cursor(half, "quality layer 1") for half in halves[0])
    count = _written(cursor.varint(), len(payloads))
    start = _Start(count, _steps(cursor, weights, "weights"), _steps(tail, vectors, "biases"))
    halves[0] = cursor.rest(), tail.rest()
    layers = [
        _coded(head, tail, weights, f"quality layer {number}", last=number == count)
        for number, (head, tail) in enumerate(halves, 1)
    ]
    for coarse, fine in itertools.pairwise(layers):
        for known, wanted in zip(coarse.cells, fine.cells, strict=True):
            known.split(wanted)
        if fine.shift > coarse.shift:
            raise FileFormatError("a quality layer's biases are coarser than those before it; the file is damaged")
    return start, layers


def _halves(payload: bytes | memoryview, what: str) -> tuple[bytes, bytes]:
    """A layer without its size, and its vectors apart."""
    cursor = Cursor(payload, what)
    size = cursor.varint()
    return cursor.take(max(cursor.left - size, 0)), cursor.take(size)


def _coded(head: bytes, tail: bytes, weights: int, what: str, *, last: bool) -> _Coded:
    cursor = Cursor(head, what)
    shift = cursor.varint()
    known = cursor.take(cursor.varint())
    if shift > (0 if last else MAX_SHIFT) or bool(known) == (last or not weights):
        raise FileFormatError(f"{what} does not say what the weights' cells are, or is too coarse; the file is damaged")
    finest = [FINEST] * weights, [0] * weights
    cells, offsets = finest if not known else _decode_cells(known, weights, what)
    return _Coded(cells, offsets, shift, cursor.rest(), tail)


def _vectors(layers: Sequence[_Coded], vectors: Shapes) -> list[np.ndarray]:
    """Levels of the last layer's biases and normalisation."""
    from rdsearch.coding.refinement import decode_differences

    shapes = [shape for _, shape in vectors]
    first, *further = decode_differences([layer.vectors for layer in layers], shapes)
    totals = [array.astype(np.int64) for array in first]
    for (coarse, fine), differences in zip(itertools.pairwise(layers), further, strict=True):
        totals = [(old << (coarse.shift - fine.shift)) + new for old, new in zip(totals, differences, strict=True)]
        if any(np.abs(total).max(initial=0) > _LARGEST for total in totals):
            raise FileFormatError("a quality layer has a bias outside int32; the file is damaged")
    return [np.ascontiguousarray(total, np.int32).reshape(total.shape) for total in totals]


def _named(shapes: Shapes, arrays: Sequence[np.ndarray], steps: Sequence[float]) -> dict[str, Levels]:
    return {name: (array, step) for (name, _), array, step in zip(shapes, arrays, steps, strict=True)}
